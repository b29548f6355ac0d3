package policy

import "slices"

// Forward is who sees to it that the kernel forwards packets.
type Forward uint8

const (
	// ForwardAuto: pbr, where Forwards finds that something is forwarded.
	ForwardAuto Forward = iota
	// ForwardOn: pbr, always.
	ForwardOn
	// ForwardOff: nobody. The machine is not a router, or something else switches forwarding on.
	ForwardOff
)

// Forwards reports whether this machine is to forward packets for others. Without a word in the
// file it is, if something in the file is for what others send: a policy that is not for the
// machine's own packets alone, or source NAT, which the machine's own do not need. Where no policy
// tells, everything but uplinks that only answer is for others, too.
func Forwards(doc *Document) bool {
	switch doc.Settings.Forward {
	case ForwardOn:
		return true
	case ForwardOff:
		return false
	}
	translates := func(u Uplink) bool { return u.NAT.Mode != NATNone || u.NAT6.Mode != NATNone }
	if anyPolicy(doc, func(p *Policy) bool { return p.Forwarded }) || slices.ContainsFunc(doc.Uplinks, translates) {
		return true
	}
	if len(doc.Policies) > 0 {
		return false
	}
	return doc.Default != nil || len(doc.Tables) > 0 || len(doc.Balances) > 0 || len(doc.Rules) > 0
}
