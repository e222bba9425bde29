"""The server of the demo, in a process of its own.

python -m demo.server    prints its port, and for each line of stdin, as JSON, its calls so far;
                         ends with stdin
"""

from __future__ import annotations

import json
import sys

from demo.usage import serve


def main() -> None:
    server = serve()
    print(server.endpoint.port, flush=True)
    for _ in sys.stdin:
        statistics = server.statistics()
        served = {"connections": statistics.accepted, "requests": statistics.requests}
        print(json.dumps(served), flush=True)
    server.stop(grace=1.0)
    server.join()


if __name__ == "__main__":
    main()
