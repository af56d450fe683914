package smarthosttest

import (
	"cmp"
	"slices"
)

// Users are all users, in the order of their names.
func (s *Server) Users() []User {
	s.accounts.mu.Lock()
	defer s.accounts.mu.Unlock()
	all := make([]User, 0, len(s.accounts.users))
	for _, of := range s.accounts.users {
		all = append(all, of.User)
	}
	slices.SortFunc(all, func(a, b User) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
