package doctor

import (
	"fmt"
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// names reports how lists of domains get their addresses.
func (e *examination) names() {
	if e.Doc == nil || !slices.ContainsFunc(e.Doc.Lists, func(l policy.List) bool { return len(l.DomainSources()) > 0 }) {
		return
	}
	const subject = "lists of domains"
	queue := e.Doc.Settings.Queue
	mend := fmt.Sprintf("install nft_queue (OpenWrt: kmod-nft-queue), or load xt_NFQUEUE and nft_compat (modprobe xt_NFQUEUE nft_compat); "+
		"if another program has bound queue %d, end it or set another [pbr] queue; then restart pbr watch", queue)
	switch e.tap {
	case plan.TapLog:
		e.add(Warn, subject, mend, "the first connection to a new address is not guaranteed to go right: DNS answers are copied by log group %d and not held: %s", queue, e.tapReason)
	case plan.TapNone:
		e.add(Fail, subject, mend, "learn nothing: DNS answers cannot be read: %s", e.tapReason)
	default:
		e.ok(subject, "DNS answers are held by queue %d until their addresses are known", queue)
	}
	switch {
	case e.facts.State.WatchPID != 0 || e.isUnknown("pbr watch"):
	case e.Doc.Settings.Dnsmasq == "":
		e.add(Fail, subject, "systemctl enable --now pbr.service, or set [pbr] dnsmasq", "learn nothing: pbr watch does not run, and dnsmasq does not fill them")
	default:
		e.add(Warn, subject, "systemctl enable --now pbr.service", "dnsmasq alone fills them: addresses stay for good, and what other resolvers answer is not seen")
	}
	e.dnsmasqAge(subject)
}

// dnsmasqAge looks for a dnsmasq that is older than the table: names in its cache are missing in
// the sets.
func (e *examination) dnsmasqAge(subject string) {
	d := e.facts.Dnsmasq
	if e.Doc.Settings.Dnsmasq == "" || d.PID == 0 || !d.Started.Before(d.Written) {
		return
	}
	e.add(Warn, subject, "systemctl restart dnsmasq", "dnsmasq (process %d) started before %s was written: it does not know its names", d.PID, e.Doc.Settings.Dnsmasq)
}
