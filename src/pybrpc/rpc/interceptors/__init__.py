"""Interceptors: functions of the user around each call, of a server or of a channel.

`interceptor` says what one may be, `chain` runs several around a call.
"""
