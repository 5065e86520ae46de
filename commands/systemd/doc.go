// Package systemd speaks to the service manager that started this process: it takes the
// sockets that it listens on for us (sd_listen_fds), and tells it how we are (sd_notify).
// Without a service manager everything here does nothing.
package systemd
