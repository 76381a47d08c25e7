"""The version, of the package itself: it may run from a folder that nothing was installed from."""

VERSION = "0.1.0"
