"""One stream of RTMP: without any form of waiting, and as threads and tasks use it."""
