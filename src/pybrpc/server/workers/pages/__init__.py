"""The pages of several worker processes, which their supervisor serves as one."""
