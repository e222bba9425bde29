"""Dispatchers: they poll descriptors, and run timers and posted functions in turns.

This is the lowest package of transport. It knows descriptors and functions; it may not know
sockets, bytes or calls.

    event_dispatcher   the interfaces, and what posting to a closed dispatcher raises
    epoll_dispatcher   the dispatcher that all threads share
    asyncio_dispatcher the dispatcher of one asyncio loop
    turn_budget        bounds what the sockets of a loop do in one round of it
    step_queue, completion   work in bounded steps, and user code among it
    fd_events, timers, shutdown_queue, poller_role, standby   parts of the epoll dispatcher
    periodic           a function that any dispatcher calls at intervals
"""
