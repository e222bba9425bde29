"""protoc-gen-pybrpc: the plugin of protoc that writes typed stubs, `x_brpc.py` for `x.proto`.

`plugin` is the command: bytes in, bytes out. `messages` knows where in Python the messages are,
`imports` gives names to the modules that a file imports, `docstrings` makes docstrings of comments,
and `service_file` writes the file. Nothing else imports anything from here.
"""
