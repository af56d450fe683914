package admin

import (
	"net/http"
	"strings"
)

// configSheet is the page of what is in force.
type configSheet struct {
	File     string
	Search   string
	Settings []Setting
}

func (s *Server) configPage(w http.ResponseWriter, r *request) error {
	q, err := query(r, "search")
	if err != nil {
		return err
	}
	c, err := s.Config(r.Context())
	if err != nil {
		return err
	}
	sheet := configSheet{File: c.File, Search: q.Get("search")}
	word := strings.ToLower(strings.TrimSpace(sheet.Search))
	for _, setting := range c.Settings {
		if strings.Contains(strings.ToLower(setting.Key+" "+setting.Value), word) {
			sheet.Settings = append(sheet.Settings, setting)
		}
	}
	return s.page(w, r, http.StatusOK, "config", "Config in force", sheet)
}
