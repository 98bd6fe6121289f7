//! What Heliostat remembers: the Store trait, its contract, and its backends.
