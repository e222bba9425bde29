"""The server of the demo, in a process of its own.

python -m demo.server    prints its port; ends with stdin, then prints what it served, as JSON
"""

from __future__ import annotations

import json
import sys

from demo.usage import serve


def main() -> None:
    server = serve()
    print(server.endpoint.port, flush=True)
    sys.stdin.read()
    statistics = server.statistics()
    server.stop(grace=1.0)
    server.join()
    served = {
        "connections": statistics.accepted,
        "requests": statistics.requests,
    }
    print(json.dumps(served), flush=True)


if __name__ == "__main__":
    main()
