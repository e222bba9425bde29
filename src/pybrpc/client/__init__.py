"""The calling side: Channel, Stub, and the one engine under their blocking, future, callback and
asyncio forms. It imports rpc and below, never server.

Packages, from top to bottom: channel; endpoints; calls and connections, which know each other's
interfaces.
"""
