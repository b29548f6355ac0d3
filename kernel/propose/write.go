package propose

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"pbr/compiler/from"
	"pbr/compiler/plan"
	"pbr/kernel/facts"
)

// targets are the check targets, two of different operators for each uplink, and other ones for the
// next: then a dead target does not look like a dead line. They answer pings from everybody.
var targets = [][2][2]string{
	{{"1.1.1.1", "8.8.8.8"}, {"2606:4700:4700::1111", "2001:4860:4860::8888"}},
	{{"9.9.9.9", "208.67.222.222"}, {"2620:fe::fe", "2620:119:35::35"}},
	{{"8.8.4.4", "149.112.112.112"}, {"2001:4860:4860::8844", "2620:fe::9"}},
	{{"1.0.0.1", "208.67.220.220"}, {"2606:4700:4700::1001", "2620:119:53::53"}},
}

func uplinkName(i int) string { return "isp" + strconv.Itoa(i+1) }

func (p *proposal) write() string {
	w := &writer{}
	w.say("A first policy, written by pbr init from what this machine has now. " +
		"Lines that begin with # and a blank explain; those with # alone")
	w.say("are optional settings. Read it, change it, save it as /etc/pbr/pbr.toml, then:")
	w.say("  pbr check && pbr apply --confirm 60s")
	w.say("Does the network still work? From a new session: pbr confirm. Without it the apply is undone after a minute. Then, to keep it:")
	w.say("  systemctl enable --now pbr")
	w.say("")
	w.say("What was seen:")
	for _, line := range p.seen() {
		w.say("  " + line)
	}
	p.settings(w)
	for i, u := range p.uplinks {
		p.uplink(w, i, u)
	}
	if len(p.uplinks) == 1 {
		p.second(w)
	}
	p.vpns(w)
	p.defaults(w)
	p.example(w)
	return w.String()
}

func (p *proposal) settings(w *writer) {
	w.line("\n[pbr]")
	if len(p.inside(roleInside, roleContainers)) > 0 {
		w.say("Forwarding, loose rp_filter and what else policy routing needs of the kernel. pbr flush restores it.")
		w.line("sysctl = true")
		return
	}
	w.say("No network behind this machine was found. A router needs this; otherwise set net.ipv4.conf.INTERFACE.rp_filter = 2 yourself.")
	w.line("#sysctl = true")
}

// uplink writes one with a default route.
func (p *proposal) uplink(w *writer, i int, u *uplink) {
	w.line("")
	w.say(u.about())
	if u.others > 0 {
		w.say("Its interface has more than one gateway, but an uplink has one: give the other line a VLAN or macvlan of its own.")
	}
	if tunnel(u.link) {
		w.say("It is a VPN. When it fails, default uses the next uplink. To prevent that, see strict in docs/policy.md.")
	}
	w.line("[[uplink]]")
	w.key("name", from.Quote(u.name))
	w.key("interface", from.Quote(u.link.Name))
	if !(u.route4 != nil && u.route6 != nil && !u.route4.Gateway.IsValid() && !u.route6.Gateway.IsValid()) {
		w.gateway("gateway", u.route4, u.link.Leased)
		w.gateway("gateway6", u.route6, false)
	}
	p.nat(w, u)
	w.key("check", check(i, u.route4 != nil, u.route6 != nil))
}

// about says where an uplink's default route comes from.
func (u *uplink) about() string {
	var parts []string
	for _, r := range []*facts.DefaultRoute{u.route4, u.route6} {
		if r != nil {
			parts = append(parts, routeText(r, r.Family == plan.IPv4 && u.link.Leased))
		}
	}
	return fmt.Sprintf("%s: %s", from.Printable(u.link.Name), strings.Join(parts, "; "))
}

func routeText(r *facts.DefaultRoute, leased bool) string {
	text := fmt.Sprintf("IPv%d default route", r.Family)
	if r.Gateway.IsValid() {
		text += " via " + r.Gateway.String()
	} else {
		text += " without a gateway"
	}
	text += fmt.Sprintf(", metric %d", r.Metric)
	switch {
	case r.Family == plan.IPv6 && r.Learned:
		text += ", announced by the router"
	case r.Learned || leased:
		text += ", from DHCP"
	}
	return text
}

// gateway writes a gateway: "auto" where it is learned, so that it follows a change.
func (w *writer) gateway(key string, r *facts.DefaultRoute, leased bool) {
	switch {
	case r == nil:
	case !r.Gateway.IsValid():
		w.key(key, `"link"`)
	case r.Learned || leased:
		w.key(key, `"auto"`)
	default:
		w.key(key, from.Quote(r.Gateway.WithZone("").String()))
	}
}

func check(i int, v4, v6 bool) string {
	t := targets[i%len(targets)]
	var list []string
	if v4 {
		list = append(list, t[0][:]...)
	}
	if v6 {
		list = append(list, t[1][:]...)
	}
	return fmt.Sprintf("{ method = \"ping\", targets = %s }", from.Strings(list))
}

// second shows how to add another line.
func (p *proposal) second(w *writer) {
	dev, why := "INTERFACE", "the name of its interface goes there"
	if free := p.inside(roleFree); len(free) > 0 {
		dev, why = free[0].Name, "that interface has no address yet"
	}
	w.line("")
	w.say("Only one uplink was found, so there is nothing to fail over to yet. To add a second one, " +
		"give its interface an address, and remove")
	w.say("the # of these lines and of its route in [default]. " + dev + ": " + why + ".")
	w.say("gateway = \"auto\" uses the one from DHCP; otherwise write its address.")
	for _, line := range []string{
		"[[uplink]]", `name = "isp2"`, "interface = " + from.Quote(dev), `gateway = "auto"`, `nat = "masquerade"`,
		"check = " + check(1, true, false),
	} {
		w.line("#" + line)
	}
}

// vpns lists VPNs that could be uplinks.
func (p *proposal) vpns(w *writer) {
	for i, l := range p.inside(roleVPN) {
		w.line("")
		if strings.HasPrefix(l.Name, "tailscale") {
			w.say(l.Name + " belongs to Tailscale, whose own rules come before pbr's: leave it alone.")
			continue
		}
		w.say(l.Name + " is a VPN. It stays as it is. To send some traffic into it by policies, make it an uplink:")
		w.line("#[[uplink]]")
		w.line("#name = " + from.Quote("vpn"+strconv.Itoa(i+1)))
		w.line("#interface = " + from.Quote(l.Name))
		v4, v6 := families(l)
		if v4 && !v6 {
			w.line(`#gateway = "link"`)
		} else if v6 && !v4 {
			w.line(`#gateway6 = "link"`)
		}
		w.line(`#nat = "masquerade"`)
	}
}

// families reports which IP versions an interface has addresses of.
func families(l facts.Interface) (v4, v6 bool) {
	for _, a := range l.Addresses {
		v4, v6 = v4 || a.Addr().Is4(), v6 || a.Addr().Is6()
	}
	return v4, v6
}

func (p *proposal) defaults(w *writer) {
	w.line("")
	w.say("For everything that no policy catches: the first uplink, and the next one when it fails. Equal distances share.")
	w.line("[default]")
	w.line("routes = [")
	distances := p.distances()
	for i, u := range p.uplinks {
		w.line(fmt.Sprintf("  { uplink = %s, distance = %d },", from.Quote(u.name), distances[i]))
	}
	if len(p.uplinks) == 1 {
		w.line("#  { uplink = \"isp2\", distance = 2 },")
	}
	w.line("]")
}

// example shows a policy for a network that was seen.
func (p *proposal) example(w *writer) {
	src := "192.168.1.0/24"
	for _, l := range p.inside(roleInside, roleContainers) {
		if at := slices.IndexFunc(l.Addresses, func(a netip.Prefix) bool { return a.Addr().Is4() }); at >= 0 {
			src = l.Addresses[at].Masked().String()
			break
		}
	}
	w.line("")
	w.say("A policy selects connections and their uplink; with strict = false they use default's uplink while it is down.")
	for _, line := range []string{"[[policy]]", `name = "example"`, "src = " + from.Quote(src), `proto = "tcp"`, "dport = 443",
		"uplink = " + from.Quote(uplinkName(1)), "strict = false"} {
		w.line("#" + line)
	}
}

type writer struct{ strings.Builder }

func (w *writer) line(text string) { w.WriteString(text + "\n") }

// say writes a comment. Text from the machine may contain anything.
func (w *writer) say(text string) { w.line(strings.TrimRight("# "+from.Printable(text), " ")) }

func (w *writer) key(name, value string) { w.line(name + " = " + value) }
