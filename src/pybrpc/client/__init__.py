"""The calling side: Channel, Stub, and the one engine under their blocking, future, callback and
asyncio forms. Imports rpc and below, never server. Packages, from top to bottom: channel; then
endpoints; then calls and connections.
"""
