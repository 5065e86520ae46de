package conf

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// AddURL adds a server given as postgres://USER:PASSWORD@HOST:PORT/DATABASE, and its user.
// Of the query, role (primary, replica, auto), shard, database_name, host (a socket's
// directory) and the durations and sizes of [Database] are known. An error does not repeat
// the password.
func (c *Config) AddURL(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		// url.Error repeats the text, password and all.
		if uerr, ok := errors.AsType[*url.Error](err); ok {
			err = uerr.Err
		}
		return fmt.Errorf("database URL: %w", hidden(err, text))
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return fmt.Errorf("database URL: want postgres://USER:PASSWORD@HOST:PORT/DATABASE, have the scheme %q", u.Scheme)
	}
	d := Database{Name: strings.TrimPrefix(u.Path, "/"), Host: u.Hostname()}
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("database URL: %q is no port", port)
		}
		d.Port = uint16(n)
	}
	user := User{Name: u.User.Username(), Database: d.Name}
	user.Password, _ = u.User.Password()
	for key, values := range u.Query() {
		if err := d.setURL(key, values[len(values)-1]); err != nil {
			return fmt.Errorf("database URL: %w", err)
		}
	}
	switch {
	case d.Name == "":
		return errors.New("database URL: name the database: postgres://HOST/DATABASE")
	case user.Name == "":
		return errors.New("database URL: name the user: postgres://USER@HOST/DATABASE")
	}
	if d.Host == "" {
		d.Host = "127.0.0.1"
	}
	c.Databases = append(c.Databases, d)
	if _, ok := c.User(user.Name, d.Name); !ok {
		c.Users = append(c.Users, user)
	}
	return nil
}

// hidden replaces an error whose words might hold a part of the URL's password.
func hidden(err error, text string) error {
	if strings.Contains(text, "@") {
		return errors.New("is not a URL; special characters in the password have to be written as %XX")
	}
	return err
}

// setURL sets one parameter of a URL's query.
func (d *Database) setURL(key, value string) error {
	number := func(min int) (int, error) {
		n, err := strconv.Atoi(value)
		if err != nil || n < min {
			return 0, fmt.Errorf("%s: want a number from %d, have %q", key, min, value)
		}
		return n, nil
	}
	duration := func(p **time.Duration) error {
		t, err := time.ParseDuration(value)
		if n, nerr := strconv.ParseInt(value, 10, 32); nerr == nil {
			t, err = time.Duration(n)*time.Millisecond, nil
		}
		if err != nil || t < 0 {
			return fmt.Errorf("%s: want a number of milliseconds or a duration such as 90s, have %q", key, value)
		}
		*p = &t
		return nil
	}
	switch key {
	case "role":
		return d.Role.UnmarshalText([]byte(value))
	case "shard":
		n, err := number(0)
		d.Shard = n
		return err
	case "database_name":
		d.DatabaseName = value
	case "host":
		d.Host = value
	case "pool_size":
		n, err := number(1)
		d.PoolSize = &n
		return err
	case "min_pool_size":
		n, err := number(0)
		d.MinPoolSize = &n
		return err
	case "pooler_mode":
		return d.PoolerMode.UnmarshalText([]byte(value))
	case "statement_timeout":
		return duration(&d.StatementTimeout)
	case "lock_timeout":
		return duration(&d.LockTimeout)
	case "idle_timeout":
		return duration(&d.IdleTimeout)
	case "server_lifetime":
		return duration(&d.ServerLifetime)
	case "application_name":
		d.Parameters = map[string]string{"application_name": value}
	case "sslmode":
		return fmt.Errorf("sslmode: TLS to servers is set for all of them: general.tls_verify")
	default:
		return fmt.Errorf("unknown parameter %q", key)
	}
	return nil
}
