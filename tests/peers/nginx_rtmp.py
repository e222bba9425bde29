"""NginxRtmp: a real nginx with its RTMP module, in a folder of its own."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Self

from tests.peers.redis_server import free_port
from tests.peers.running_program import RunningProgram

CONFIG = """\
load_module {module};
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log info;
events {{ worker_connections 1024; }}
rtmp {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        chunk_size {chunk_size};
        ack_window {ack_window};
        application live {{ live on; publish_notify on; {settings} }}
    }}
}}
"""
ACK_WINDOW = 5_000_000
"""Bytes; the default of nginx-rtmp."""

MODULE = "/usr/lib/nginx/modules/ngx_rtmp_module.so"


class NginxRtmp:
    """Runs while the `with` does: one process, on a free port of 127.0.0.1.

    Its application is `live`. A player may come before its publisher and waits then. When the
    publisher leaves, players receive `NetStream.Play.UnpublishNotify`, at which most end.
    Enhanced RTMP (HEVC) is accepted from a publisher, but nginx-rtmp 1.2.2 passes no frame of it on
    to players, only the metadata.

    chunk_size   the chunk size that nginx announces, in bytes
    ack_window   the window that nginx announces, and after which it acknowledges, in bytes
    settings     more directives of the application, such as "max_connections 2;"
    """

    def __init__(
        self, chunk_size: int = 4096, ack_window: int = ACK_WINDOW, settings: str = ""
    ) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="pybrpc-nginx-"))
        config = self._folder / "nginx.conf"
        config.write_text(
            CONFIG.format(
                module=MODULE,
                folder=self._folder,
                port=self.port,
                chunk_size=chunk_size,
                ack_window=ack_window,
                settings=settings,
            )
        )
        command = ["nginx", "-p", self._folder, "-e", self._folder / "nginx.log", "-c", config]
        self.program = RunningProgram(command, self._folder, "nginx")

    def url(self, name: str = "stream") -> str:
        return f"rtmp://127.0.0.1:{self.port}/live/{name}"

    def wait_players(self, count: int, name: str = "stream") -> None:
        """Wait until nginx has received so many `play` commands for this stream, since its start.

        Such a player misses nothing that is published from now on.
        """
        self._wait_logged(f"play: name='{name}'", count)

    def wait_publishers(self, count: int, name: str = "stream") -> None:
        """Wait until nginx has received so many `publish` commands for this stream."""
        self._wait_logged(f"publish: name='{name}'", count)

    def _wait_logged(self, text: str, count: int) -> None:
        self.program.wait_until(lambda: self.program.log().count(text) >= count, f"at {text}")

    def __enter__(self) -> Self:
        try:
            self.program.start().wait_listening(self.port)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.program.stop()
        shutil.rmtree(self._folder)
