cimport cython
from pybrpc.transport.dispatch.epoll_dispatcher cimport EpollDispatcher
from pybrpc.transport.dispatch.step_queue cimport Work


@cython.locals(epoll=EpollDispatcher)
cpdef run_completion(object dispatcher, Work work)


@cython.locals(epoll=EpollDispatcher)
cpdef require_polling(object dispatcher)


@cython.locals(epoll=EpollDispatcher)
cpdef release_polling(object dispatcher)


@cython.locals(epoll=EpollDispatcher)
cpdef bint expects_writes(object dispatcher) except -1
