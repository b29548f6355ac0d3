package main

import (
	"net/netip"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/policy"
	"pbr/kernel"
	"pbr/kernel/members"
	"pbr/kernel/state"
)

// learnedNames finds the names by which addresses came into lists of domains; nil if there are no
// such lists.
func learnedNames(doc *policy.Document, k *kernel.Kernel) func(list string, a netip.Addr) string {
	names := map[string]map[netip.Addr]string{}
	for i := range doc.Lists {
		l := &doc.Lists[i]
		if len(l.DomainSources()) == 0 {
			continue
		}
		if len(names) == 0 {
			_, _ = daemon.Ask(k.Dir(), daemon.Request{Do: "keep"}) // without a watch there is nothing new
		}
		f, _ := members.Load(state.Find(k.Dir()), l.Name, members.Learned, time.Now()) // what is damaged has no names
		names[l.Name] = make(map[netip.Addr]string, len(f.Members))
		for _, m := range f.Members {
			names[l.Name][m.From] = m.Name
		}
	}
	if len(names) == 0 {
		return nil
	}
	return func(list string, a netip.Addr) string { return names[list][a] }
}
