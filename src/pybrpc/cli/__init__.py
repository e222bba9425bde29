"""The command `pybrpc`: one file for each of its commands, loaded when it is used."""
