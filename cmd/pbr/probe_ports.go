package main

import (
	"slices"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/policy"
	"pbr/healthcheck"
	"pbr/kernel"
)

// portsAge is how old the answer of the watch may be that does not know a port.
const portsAge = time.Second

// probePorts returns what knows the source ports of the watch's probes by TCP, DNS and HTTP: it
// asks when it is asked, and again for ports that may be newer. It is nil if no check is by these.
func probePorts(doc *policy.Document, k *kernel.Kernel) func(uplink string, proto uint8, port uint16) bool {
	byPort := map[string]bool{}
	for i := range doc.Uplinks {
		switch u := &doc.Uplinks[i]; u.Check.Method {
		case policy.CheckTCP, policy.CheckDNS, policy.CheckHTTP:
			byPort[u.Name] = true
		}
	}
	if len(byPort) == 0 {
		return nil
	}
	var known map[string][]healthcheck.Port
	var asked time.Time
	return func(uplink string, proto uint8, port uint16) bool {
		one := healthcheck.Port{Proto: proto, Number: port}
		if byPort[uplink] && !slices.Contains(known[uplink], one) && time.Since(asked) > portsAge {
			if a, err := daemon.Ask(k.Dir(), daemon.Request{Do: "ports"}); err == nil {
				known = a.Ports
			}
			asked = time.Now()
		}
		return byPort[uplink] && slices.Contains(known[uplink], one)
	}
}
