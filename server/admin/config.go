package admin

import (
	"net/http"

	"github.com/seed-1397b510/smarthost/server/web"
)

// ConfigInForce is what the server works with.
type ConfigInForce struct {
	File     string    `json:"file"` // "" if there is none
	Settings []Setting `json:"settings"`
}

// Setting is a key of the config. Its value is written as in the file, without the relay's login.
type Setting struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Reloads bool   `json:"reloads"` // a reload puts a new value in force; else a restart
}

func (s *Server) config(w http.ResponseWriter, r *request) error {
	c, err := s.Config(r.Context())
	if err != nil {
		return err
	}
	web.Answer(w, http.StatusOK, c)
	return nil
}
