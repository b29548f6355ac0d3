package doctor

import (
	"fmt"
	"strings"
	"time"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

const (
	aboutNames = "lists of domains"
	// unansweredFor is how long no host may have had an answer until that is told.
	unansweredFor = 10 * time.Minute
	// cachedFor is how long names are taken to be in dnsmasq's cache: few answers are good for
	// longer.
	cachedFor = 24 * time.Hour
)

// names reports how lists of domains get their addresses.
func (e *examination) names() {
	if e.Doc == nil || !policy.HasDomains(e.Doc) {
		return
	}
	e.tapped()
	switch {
	case e.facts.State.WatchPID != 0 || e.isUnknown("pbr watch"):
	case e.Doc.Settings.Dnsmasq == "":
		e.add(Fail, aboutNames, "systemctl enable --now pbr.service, or set [pbr] dnsmasq",
			"they stay empty: pbr watch does not run, and dnsmasq does not fill them")
	default:
		e.add(Warn, aboutNames, "systemctl enable --now pbr.service",
			"dnsmasq alone fills them: addresses stay for good, and what other resolvers answer is not seen")
	}
	e.unanswered()
	e.hiddenDNS()
	e.offloadedDNS()
	e.dnsmasq()
	e.unknown("connections")
}

// tapped says how answers are read.
func (e *examination) tapped() {
	queue := e.Doc.Settings.Queue
	repair := fmt.Sprintf("install nft_queue (OpenWrt: kmod-nft-queue), "+
		"or load xt_NFQUEUE and nft_compat (modprobe xt_NFQUEUE nft_compat); "+
		"if another program has bound queue %d, end it or set another [pbr] queue; then restart pbr watch", queue)
	switch e.tap {
	case plan.TapLog:
		e.add(Warn, aboutNames, repair,
			"first connection not guaranteed: DNS answers are copied by log group %d and not held: %s", queue, e.tapReason)
	case plan.TapNone:
		e.add(Fail, aboutNames, repair, "they stay empty: DNS answers cannot be read: %s", e.tapReason)
	case plan.TapTarget:
		e.ok(aboutNames, "DNS answers are held by queue %d until their addresses are known, by xtables' "+
			"NFQUEUE: this kernel has no nft_queue", queue)
	default:
		e.ok(aboutNames, "DNS answers are held by queue %d until their addresses are known", queue)
	}
}

// unanswered tells of hosts that have connections, and no answers that could be read.
func (e *examination) unanswered() {
	n := e.facts.Names
	if n.Watched < unansweredFor || n.Unanswered < unansweredFor || n.Clients == 0 {
		return
	}
	e.add(Warn, aboutNames, "have DHCP name this router as the DNS server, "+
		"or one whose answers pass this router; pbr lists shows what was learned",
		"no DNS answer to a host of the networks here came by for %s, and %s connections to elsewhere: "+
			"they ask a server whose answers do not pass this router, or encrypt what they ask, or know the addresses",
		n.Unanswered.Truncate(time.Minute), counted(n.Clients, "host has", "hosts have"))
}

// hiddenDNS tells of hosts that ask servers by DNS that nobody can read, one line for each port.
func (e *examination) hiddenDNS() {
	for _, by := range []struct {
		port uint16
		name string
	}{{portTLS, "DNS over TLS or QUIC"}, {portHTTPS, "DNS over HTTPS by a known server of it"}} {
		var servers, names []string
		client, clients := "", 0
		for _, h := range e.facts.Names.Hidden {
			if h.Port != by.port {
				continue
			}
			servers, names = append(servers, `"`+h.Server.String()+`"`), append(names, h.Server.String())
			client, clients = h.Client.String(), max(clients, h.Clients)
		}
		if servers == nil {
			continue
		}
		who := client + " has"
		if clients > 1 {
			who = fmt.Sprintf("%s and other hosts have", client)
		}
		refuse := fmt.Sprintf(`proto = ["tcp", "udp"], dport = %d, action = "unreachable"`, by.port)
		if by.port == portHTTPS {
			refuse = fmt.Sprintf("dst = [%s], ", strings.Join(servers[:min(len(servers), shown)], ", ")) + refuse
		}
		e.add(Warn, aboutNames, "have clients ask this router, or refuse it by a policy in front of the others: "+refuse,
			"%s connections to port %d of %s (%s): answers there cannot be read, and teach nothing", who, by.port,
			few(names, ", "), by.name)
	}
}

// offloadedDNS tells of others' flowtables, which hide answers of connections that continue.
func (e *examination) offloadedDNS() {
	for _, o := range e.facts.Offloads {
		if o.SparesDNS {
			continue
		}
		e.add(Warn, o.Table+" "+o.Chain,
			fmt.Sprintf("nft replace rule %s %s handle %d meta l4proto { tcp, udp } ct original proto-dst "+
				"!= 53 flow add @%s, and where the program that made it keeps its rules", o.Table, o.Chain, o.Handle, o.Flowtable),
			"rule %d offloads connections by flowtable %s: unless an earlier rule leaves port 53 out, all "+
				"but the first answers over a connection to a DNS server elsewhere pass unseen", o.Handle, o.Flowtable)
	}
}

// dnsmasq says what keeps dnsmasq from filling sets, if it is to.
func (e *examination) dnsmasq() {
	d, file := e.facts.Dnsmasq, e.Doc.Settings.Dnsmasq
	if file == "" {
		return
	}
	if d.NoNftset != "" {
		e.add(Fail, aboutNames, "install a dnsmasq with nftset (Debian 12 and later; OpenWrt: "+
			"opkg install dnsmasq-full), or leave [pbr] dnsmasq out: pbr watch needs no dnsmasq",
			"dnsmasq %s cannot fill nftables sets, and would not start with %s", d.NoNftset, file)
	}
	switch before := d.Made.Sub(d.Started); {
	case d.PID == 0:
	case d.Started.Before(d.Written):
		e.add(Warn, aboutNames, "systemctl restart dnsmasq",
			"dnsmasq (process %d) started before %s was written: it does not know its names", d.PID, file)
	case before > 0 && before < cachedFor && e.facts.State.WatchPID == 0:
		e.add(Warn, aboutNames, "systemctl restart dnsmasq",
			"dnsmasq (process %d) started before the sets were made: names that it had in its cache then "+
				"are missing until it asks for them again", d.PID)
	}
}

// counted is a number of things with their verb.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
