"""The pages of a server: what a process is doing, as text for curl and as HTML for people.

A page is a plain function of a `PageRequest` and a `ServerView`, in a thread of its own. It knows
neither sockets nor HTTP, and never a Server: `run_page` calls it for any protocol. A page is public
or internal; which clients may use internal ones is decided above. After src/brpc/builtin of C++.
"""
