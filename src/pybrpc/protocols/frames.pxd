from pybrpc.iobuf.iobuf cimport IOBuf


cpdef object size_of(object attachment)
cpdef IOBuf pack_frame(object pack_header, bytes meta, object body, object attachment)
