package admin

import (
	"net/http"
	"time"

	"github.com/seed-1397b510/smarthost/server/web"
)

// Status is how the server is.
type Status struct {
	Version     string             `json:"version"`
	Hostname    string             `json:"hostname"`
	Started     time.Time          `json:"started"`
	Uptime      int64              `json:"uptime"` // seconds
	Health      State              `json:"health"` // set by the Server
	Config      ConfigSummary      `json:"config"`
	Connections ConnectionsInUse   `json:"connections"`
	Queue       QueueSize          `json:"queue"`
	Certificate CertificateInForce `json:"certificate"`
	Limits      []LimitInUse       `json:"limits"`
	Webhooks    []WebhookState     `json:"webhooks"`
}

// ConfigSummary is what of the config says how this server works. It holds no secret.
type ConfigSummary struct {
	File            string   `json:"file"` // "" if there is none
	Data            string   `json:"data"`
	Doors           []string `json:"doors"`
	Admin           []string `json:"admin"`
	Relay           string   `json:"relay"` // without its login; "": mail goes to the MX of each recipient
	Unauthenticated string   `json:"unauthenticated"`
	MaxMessageSize  int64    `json:"max_message_size"`
	GiveUp          string   `json:"give_up"`
}

// ConnectionsInUse counts clients.
type ConnectionsInUse struct {
	Now  int `json:"now"`
	Most int `json:"most"` // 0: no limit
}

// QueueSize counts deliveries by state, and messages.
type QueueSize struct {
	Messages int            `json:"messages"`
	Bytes    int64          `json:"bytes"`
	ByState  map[string]int `json:"by_state"`
	Oldest   *time.Time     `json:"oldest"` // null: the queue is empty
}

// CertificateInForce is what clients are shown.
type CertificateInForce struct {
	Names   []string  `json:"names"`
	Issuer  string    `json:"issuer"`
	Begins  time.Time `json:"begins"`
	Expires time.Time `json:"expires"`
	Private bool      `json:"private"` // by this server's own authority
	File    string    `json:"file"`
}

// LimitInUse is how much an account, or a device with a class of its own, has used of its limits.
type LimitInUse struct {
	Account    string `json:"account"`
	Class      string `json:"class"`
	Messages   Use    `json:"messages"`
	Recipients Use    `json:"recipients"`
	Bytes      Use    `json:"bytes"`
}

// WebhookState is how a webhook fares.
type WebhookState struct {
	Name    string     `json:"name"`
	Waiting int64      `json:"waiting"`  // events that it is still to be told
	Dropped int64      `json:"dropped"`  // events since the start that it never hears of, because too many waited
	Failing *time.Time `json:"failing"`  // it has taken nothing since then; null: it takes events
	GivenUp *time.Time `json:"given_up"` // when it was last decided that it never hears of an event that it did not take; null: not since the start
}

// Use is a part of a limit.
type Use struct {
	Used int64  `json:"used"`
	Of   int64  `json:"of"` // 0: no limit
	Per  string `json:"per"`
}

func (s *Server) status(w http.ResponseWriter, r *request) error {
	status, err := s.Status(r.Context())
	if err != nil {
		return err
	}
	status.Health = s.Health.Ready(r.Context()).State
	web.Answer(w, http.StatusOK, status)
	return nil
}
