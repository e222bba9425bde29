"""NginxHttp: a real nginx that serves HTTP/1.1, in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from tests.peers.redis_server import free_port
from tests.peers.running_program import RunningProgram

CONFIG = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log info;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type text/plain;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/files;
        keepalive_requests {keepalive_requests};
        client_max_body_size 1m;
        gzip on;
        gzip_types application/json;
        gzip_min_length 1;
        gzip_proxied any;
        location = /echo {{ return 200 "$request_method $http_x_own $content_length"; }}
        location = /moved {{ return 301 /echo; }}
        location = /json {{
            default_type application/json;
            return 200 '{{"message": "from nginx"}}';
        }}
        location = /conformance.EchoService/Echo {{
            default_type application/json;
            return 200 '{{"message": "from nginx"}}';
        }}
    }}
}}
"""


class NginxHttp:
    """Runs while the `with` does: one process, on a free port of 127.0.0.1. It serves the files of
    `folder`/files.

    keepalive_requests  requests after which it closes a connection
    """

    def __init__(self, folder: Path, keepalive_requests: int = 1000) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.files = folder / "files"
        self.files.mkdir()
        config = folder / "nginx.conf"
        config.write_text(
            CONFIG.format(folder=folder, port=self.port, keepalive_requests=keepalive_requests)
        )
        command = ["nginx", "-p", folder, "-c", config, "-e", folder / "nginx.log"]
        self._program = RunningProgram(command, folder, "nginx")

    def __enter__(self) -> Self:
        try:
            self._program.start().wait_listening(self.port)
        except BaseException:
            self._program.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._program.stop()
