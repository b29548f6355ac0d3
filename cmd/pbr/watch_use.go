//go:build !small

package main

import (
	"strconv"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/daemon"
	"pbr/compiler/plan"
	"pbr/kernel"
)

// readUse reads what metrics need from the kernel, over a connection of its own, because the
// watch's is in use. It returns nil if that fails.
func readUse(r *daemon.Report) *daemon.Use {
	k, err := kernel.Open(kernel.DefaultStateDir)
	if err != nil {
		return nil
	}
	defer k.Close()
	s := &statusResult{Uplinks: uplinkStatuses(r.Uplinks, &r.Outline)}
	if s.readKernel(&r.Outline, k) != nil {
		return nil
	}
	u := &daemon.Use{Connections: map[string]int{}, Bytes: map[string]uint64{}, Hits: map[string]uint64{},
		Clients: map[[2]string]int{}, Active: map[[2]string][]string{}}
	if now := applied.Open(k.Dir()).InForce(); now != nil {
		u.Applied = now.At
	}
	for _, up := range s.Uplinks {
		u.Connections[up.Name] = up.Connections
		if up.Bytes != nil {
			u.Bytes[up.Name] = *up.Bytes
		}
	}
	for _, p := range s.Policies {
		if p.Hits != nil {
			u.Hits[p.Name] = *p.Hits
		}
	}
	for _, b := range s.Balances {
		for _, m := range b.Members {
			if m.Clients != nil {
				u.Clients[[2]string{b.Name, m.Name}] = *m.Clients
			}
		}
	}
	for _, t := range s.Tables {
		for _, a := range t.Active {
			if a.Destination == plan.DefaultName {
				u.Active[[2]string{t.Name, strconv.Itoa(int(a.Family))}] = a.Uplinks
			}
		}
	}
	return u
}
