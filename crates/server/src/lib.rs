//! The heliostat binary: HTTP, command line, configuration.
