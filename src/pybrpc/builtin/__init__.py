"""The pages of a server: what a process is doing, as text for curl and as HTML for people.

A page is a plain function of a `PageRequest` and a `ServerView`, in a thread of its own. It knows
neither sockets nor HTTP, and never a Server: `run_page` calls it for any protocol. Clients that may
use internal pages are told apart above; here a page is public or internal. After src/brpc/builtin of C++ bRPC.
"""
