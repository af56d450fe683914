package admin

import (
	"net/http"
	"net/url"

	"github.com/seed-1397b510/smarthost/server/web"
)

// A Fault is an answer that is not what was asked for: what happened, and what to do next.
type Fault = web.Fault

var api = &web.API{Document: "/api/v1/openapi.json", MaxBody: maxBody, Often: []string{"id", "exclude"}}

func query(r *request, names ...string) (url.Values, error) { return api.Query(r.Request, names...) }

func badParameter(name, fault string) *Fault { return api.BadParameter(name, fault) }

// fault makes the answer of an error.
func (s *Server) fault(r *http.Request, err error) *Fault { return web.FaultOf(err, r, s.Log) }
