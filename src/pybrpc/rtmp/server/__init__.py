"""The server's side of RTMP: an RtmpService, its connections and its streams."""
