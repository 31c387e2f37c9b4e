//! A terminal, or any local program, as a tieline channel over a Unix socket.
