package capture

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/seed-1397b510/smarthost/policy/limit"
	"github.com/seed-1397b510/smarthost/server/smarthosttest"
	"github.com/seed-1397b510/smarthost/server/web"
)

const maxUsers = 10_000

// A NewUser is a user that is to be made. All of it may be left out.
type NewUser struct {
	User     string    `json:"user"`     // "": one is made up, which is an address
	Password string    `json:"password"` // "": one is made up
	Senders  *[]string `json:"senders"`  // addresses that it may send as; [] is its own name alone, left out: anybody's
	Limits   *Limits   `json:"limits"`
}

// Limits are how much a user may send, each as "10/1h"; bytes as "10MiB/1h". "" is no limit.
type Limits struct {
	Messages   string `json:"messages,omitempty"`
	Recipients string `json:"recipients,omitempty"`
	Bytes      string `json:"bytes,omitempty"`
}

// An Account is a user, and where it is served.
type Account struct {
	User     string   `json:"user"`
	Password string   `json:"password,omitempty"` // told when the user is made, and never again
	Senders  []string `json:"senders"`
	Host     string   `json:"host"`     // of SMTP
	Port     int      `json:"port"`     // with STARTTLS
	TLSPort  int      `json:"tls_port"` // with implicit TLS
	BaseURL  string   `json:"base_url"` // of the user's inbox: of the native routes, and for Mailpit's clients
}

// Accounts are all users.
type Accounts struct {
	Users []Account `json:"users"`
}

func (s *Server) listUsers(w http.ResponseWriter, r *request) error {
	if _, err := query(r); err != nil {
		return err
	}
	all := Accounts{[]Account{}}
	for _, u := range s.Mail.Users() {
		all.Users = append(all.Users, s.account(r, u))
	}
	web.Answer(w, http.StatusOK, all)
	return nil
}

func (s *Server) makeUser(w http.ResponseWriter, r *request) error {
	var of NewUser
	if err := api.Body(w, r.Request, &of, true); err != nil {
		return err
	}
	u, err := of.user(s.Mail.ClientTLS().ServerName)
	if err != nil {
		return err
	}
	s.making.Lock()
	defer s.making.Unlock()
	if _, taken := s.Mail.User(u.Name); taken {
		return web.Fail(http.StatusConflict, "there is a user "+web.Printable(u.Name)+" already", "take another name, or none, so that one is made up")
	}
	if len(s.Mail.Users()) >= maxUsers {
		return web.Fail(http.StatusInsufficientStorage, fmt.Sprintf("there are %d users, and there cannot be more", maxUsers), "start another server")
	}
	if err := s.Mail.SetUser(u); err != nil {
		return web.Fail(http.StatusBadRequest, err.Error(), api.See())
	}
	made := s.account(r, u)
	made.Password = u.Password
	web.Answer(w, http.StatusCreated, made)
	return nil
}

// user is the user that is asked for.
func (n NewUser) user(hostname string) (smarthosttest.User, error) {
	u := smarthosttest.User{Name: n.User, Password: n.Password, Senders: []string{"*"}}
	if u.Name == "" {
		u.Name = strings.ToLower(rand.Text()[:12]) + "@" + hostname
	}
	if u.Password == "" {
		u.Password = rand.Text()
	}
	if n.Senders != nil {
		u.Senders = *n.Senders
	}
	if n.Limits == nil {
		return u, nil
	}
	for _, l := range []struct {
		name, text string
		parse      func(string) (limit.Rate, error)
		to         *limit.Rate
	}{
		{"messages", n.Limits.Messages, limit.ParseCount, &u.Limit.Messages},
		{"recipients", n.Limits.Recipients, limit.ParseCount, &u.Limit.Recipients},
		{"bytes", n.Limits.Bytes, limit.ParseBytes, &u.Limit.Bytes},
	} {
		if l.text == "" {
			continue
		}
		var err error
		if *l.to, err = l.parse(l.text); err != nil {
			return u, badParameter("limits."+l.name, "is wrong: "+err.Error())
		}
	}
	return u, nil
}

// account is how the maker of a request reaches what a user has.
func (s *Server) account(r *request, u smarthosttest.User) Account {
	host, port := s.door(r, s.Mail.Addr)
	_, implicit := s.door(r, s.Mail.TLSAddr)
	of := Account{
		User: u.Name, Senders: u.Senders, Host: host, Port: port, TLSPort: implicit,
		BaseURL: "http://" + r.Host + "/inbox/" + url.PathEscape(u.Name),
	}
	if of.Senders == nil {
		of.Senders = []string{}
	}
	return of
}

// door is a door's host and port. One that listens at every address is reached by the name by which the client has come here.
func (s *Server) door(r *request, address string) (string, int) {
	host, text, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(text)
	if of, err := netip.ParseAddr(host); err == nil && of.IsUnspecified() {
		if u, err := url.Parse("//" + r.Host); err == nil && u.Hostname() != "" {
			host = u.Hostname()
		}
	}
	return host, port
}
