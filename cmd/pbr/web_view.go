//go:build !small

package main

import (
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/cmd/pbr/web"
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// webLine is an uplink as the page shows it; k is nil as long as the kernel was not read.
func webLine(u *uplinkStatus, doc *policy.Document, k *seen) web.Line {
	l := web.Line{Name: u.Name, Interface: u.Interface, State: u.State, Usable: u.Usable, Failed: u.failed(), Quota: u.Quota}
	for _, family := range plan.Families {
		check, carried := u.Versions[versionKey(family)]
		if !carried {
			continue
		}
		v := web.Version{Number: int(family), State: check.State, Usable: check.Usable, Failed: check.failed(),
			RTT: milliseconds(check.RTT), Jitter: milliseconds(check.Jitter),
			Loss: -1, LastFailure: check.LastFailure, Since: timeOf(check.Since),
			LastFailureAt: timeOf(check.LastFailureAt), HeldUntil: timeOf(check.HeldUntil)}
		if check.ProbeError != "" {
			v.LastFailure, v.Failed = check.ProbeError, true
		}
		if check.Loss != nil {
			v.Loss = *check.Loss
		}
		if k != nil {
			link := k.host.Links[u.Interface]
			v.Gateway = gatewayText(doc, u.Name, link, family)
			for _, a := range link.Addrs {
				if plan.FamilyOf(a) == family {
					v.Addresses = append(v.Addresses, a.String())
				}
			}
		}
		l.Versions = append(l.Versions, v)
	}
	if k != nil && k.status != nil {
		for i := range k.status.Uplinks {
			if known := &k.status.Uplinks[i]; known.Name == u.Name {
				l.Connections, l.Bytes = known.Connections, known.usage.Bytes
			}
		}
	}
	return l
}

func milliseconds(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }

// timeOf is the zero time for one that is not known.
func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// gatewayText is an uplink's gateway: the policy's, or main's where that is automatic.
func gatewayText(doc *policy.Document, uplink string, link plan.Link, family plan.Family) string {
	u := doc.Uplink(uplink)
	if u == nil {
		return ""
	}
	g := compiler.Gateway(u, family)
	found, _ := link.Gateway(family)
	switch {
	case g.Link:
		return "none: the device itself"
	case !g.Auto:
		return g.Addr.String()
	case found.IsValid():
		return found.String() + " (auto)"
	}
	return "auto: none known"
}

// selectorsShown is how many policies and rules the page lists.
const selectorsShown = 2000

// webSelectors are policies, and rules behind them, as many as the page lists.
func webSelectors(s *statusResult) (list []web.Selector) {
	for i := range s.Policies[:min(len(s.Policies), selectorsShown)] {
		list = append(list, webSelector(&s.Policies[i]))
	}
	for i := range s.Rules[:min(len(s.Rules), selectorsShown-len(list))] {
		r := webSelector(&s.Rules[i].steeringStatus)
		r.IsRule = true
		if r.Target == "" {
			r.Target = s.Rules[i].Action
		}
		list = append(list, r)
	}
	return list
}

func webSelector(p *steeringStatus) web.Selector {
	uses := folding(false).usesText(p)
	if uses == dash("") {
		uses = ""
	}
	return web.Selector{Name: p.Name, Line: p.Line, Target: targetOf(p.Target), Uses: uses, Hits: p.Hits, Problem: p.Problem}
}

// targetOf is a target in words; empty where there is none.
func targetOf(t daemon.OutlineTarget) string {
	if t.Kind == "" {
		return ""
	}
	return targetText(t)
}
