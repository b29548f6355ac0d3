//go:build linux

package nft

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pbr/kernel/facts"
)

// othersScript has rules with marks of all kinds, one a line, in tables of several families.
const othersScript = `table inet pbr { chain own { type filter hook prerouting priority -150; meta mark set 0x1; } 
}
table ip a {
	chain pre { type filter hook prerouting priority -150;
		meta l4proto udp meta mark set ct mark
		meta mark set 0x51
		meta mark set meta mark & 0xffff00ff | 0x100
		meta mark set meta mark ^ 0x4
		ct mark set ct mark | 0x8
		ct mark & 0xff == 0x5 accept
		meta mark { 1, 2 } accept
		meta mark != 0x10-0x20 accept
		ip saddr 10.0.0.1 accept
		jump deep
	}
	chain deep { goto deeper; 
	}
	chain deeper { ct mark set meta mark & 0xff000000; 
	}
	chain post { type nat hook postrouting priority 100;
		oifname "wan*" masquerade
		oifname "wan1" snat to 192.0.2.1
		oifname != "lan" snat to 192.0.2.1
	}
	chain forwarded { type nat hook prerouting priority -100; tcp dport 80 dnat to 10.0.0.1; 
	}
}
table ip raw { chain pre { type filter hook prerouting priority -300; udp dport 53 notrack; 
}
}
table netdev n { chain in { type filter hook ingress device lo priority 5; meta mark set 0x2; 
}
}
table ip6 b { chain out { type route hook output priority 0; meta mark set jhash ip6 saddr mod 2 seed 1; 
}
}
`

// noNames is for rules that name no interface by its index.
func noNames(uint32) string { return "" }

func TestOthers(t *testing.T) {
	t.Parallel()
	n := newNetns(t)
	n.load(othersScript)
	found, err := n.conn.Others(noNames)
	if err != nil {
		t.Fatal(err)
	}
	marks, nat := found.Marks, found.SourceNAT
	t.Run("connections that are not tracked", func(t *testing.T) {
		if u := found.Untracked; len(u) != 1 || u[0].Table != "ip raw" || u[0].Chain != "pre" || u[0].Handle == 0 ||
			!slices.Equal(u[0].Hooks, []facts.Hook{{Name: "prerouting", Priority: -300}}) {
			t.Errorf("untracked: %+v", u)
		}
	})
	t.Run("marks", func(t *testing.T) {
		pre := []facts.Hook{{Name: "prerouting", Priority: -150}}
		const all = ^uint32(0)
		a := func(u facts.MarkUse) facts.MarkUse {
			u.Table, u.Hooks = "ip a", pre
			if u.Chain == "" {
				u.Chain = "pre"
			}
			return u
		}
		want := []facts.MarkUse{
			a(facts.MarkUse{Writes: true, Bits: all}),
			a(facts.MarkUse{Writes: true, Bits: all, Constant: true, Value: 0x51}),
			a(facts.MarkUse{Writes: true, Bits: 0xff00, Constant: true, Value: 0x100}),
			a(facts.MarkUse{Writes: true, Bits: 4, Value: 4}),
			a(facts.MarkUse{Connection: true, Writes: true, Bits: 8, Constant: true, Value: 8}),
			a(facts.MarkUse{Connection: true, Bits: 0xff}),
			a(facts.MarkUse{Bits: all}),
			a(facts.MarkUse{Bits: all}),
			a(facts.MarkUse{Chain: "deeper", Connection: true, Writes: true, Bits: all}),
			{Table: "ip6 b", Chain: "out", Hooks: []facts.Hook{{Name: "output"}}, Writes: true, Bits: all},
			{Table: "netdev n", Chain: "in", Hooks: []facts.Hook{{Name: "ingress", Priority: 5}}, Writes: true,
				Bits: all, Constant: true, Value: 2},
		}
		for i := range marks {
			if marks[i].Handle == 0 {
				t.Errorf("no handle: %+v", marks[i])
			}
			marks[i].Handle = 0
		}
		if !reflect.DeepEqual(marks, want) {
			t.Errorf("marks:\n got %+v\nwant %+v", marks, want)
		}
	})
	t.Run("source NAT", func(t *testing.T) {
		if w := []facts.SourceNAT{{Table: "ip a", OIF: "wan*"}, {Table: "ip a", OIF: "wan1"}, {Table: "ip a"}}; !slices.Equal(nat, w) {
			t.Errorf("source NAT: got %+v, want %+v", nat, w)
		}
	})
}

// The interface that a translation is for is known, whatever else its rule compares before or
// after.
func TestOthersTranslations(t *testing.T) {
	t.Parallel()
	n := newNetns(t)
	for _, family := range []string{"ip", "inet"} {
		for _, c := range []struct{ matches, oif string }{
			{`oifname "eth1"`, "eth1"},
			{`oifname "eth1" ip saddr 192.168.10.40`, "eth1"},
			{`ip saddr 192.168.10.40 oifname "eth1"`, "eth1"},
			{`oifname "eth1" ip saddr 192.168.10.0/24`, "eth1"},
			{`ip saddr 192.168.10.0/24 oifname "eth1"`, "eth1"},
			{`oifname "eth1" ip saddr 192.168.8.0/21`, "eth1"},
			{`oifname "eth1" ip protocol tcp`, "eth1"},
			{`ip protocol tcp oifname "eth1"`, "eth1"},
			{`oifname "eth*" ip saddr 192.168.10.40 tcp dport 443`, "eth*"},
			{`oifname "eth1" ip saddr { 192.168.10.40, 192.168.10.41 }`, "eth1"},
			{`oifname "eth1" ip option rr exists`, "eth1"},
			{`oifname "eth1" rt classid 5`, "eth1"},
			{`oifname "eth1" numgen inc mod 2 0`, "eth1"},
			{`oifname "eth1" jhash ip saddr mod 2 seed 1 0`, "eth1"},
			{`oif "lo"`, "name of 1"},
			{`oif "lo" ip saddr 192.168.10.40`, "name of 1"},
			{`ip saddr 192.168.10.40 oif "lo"`, "name of 1"},
			{`oif != "lo" ip saddr 192.168.10.40`, ""},
			{`ip saddr 192.168.10.40`, ""},
		} {
			t.Run(family+" "+c.matches, func(t *testing.T) {
				to := strings.Replace("snat FAMILY to 192.0.2.99", "FAMILY", map[string]string{"inet": "ip"}[family], 1)
				n.load("add table " + family + " nat\ndelete table " + family + " nat\ntable " + family +
					" nat { chain post { type nat hook postrouting priority srcnat; " + c.matches + " " + to + "\n}\n}")
				found, err := n.conn.Others(func(index uint32) string { return fmt.Sprintf("name of %d", index) })
				if err != nil {
					t.Fatal(err)
				}
				last := len(found.Translations) - 1
				if last < 0 || found.Translations[last].OIF != c.oif || found.SourceNAT[last].OIF != c.oif {
					t.Errorf("%+v, want one for %q", found.Translations, c.oif)
				}
			})
			n.load("delete table " + family + " nat")
		}
	}
}

// What iptables-nft makes has the structs of iptables.
func TestOthersOfIPTables(t *testing.T) {
	t.Parallel()
	info := func(v ...uint32) (b []byte) {
		for _, x := range v {
			b = binary.NativeEndian.AppendUint32(b, x)
		}
		return b
	}
	for _, c := range []struct {
		expr, name string
		revision   uint32
		info       []byte
		want       []facts.MarkUse
		nat        bool
		untracked  bool
	}{
		{"target", "MARK", 2, info(0x300, 0x3f00),
			[]facts.MarkUse{{Writes: true, Bits: 0x3f00, Constant: true, Value: 0x300}}, false, false},
		{"target", "MARK", 2, info(1, 0), []facts.MarkUse{{Writes: true, Bits: 1, Value: 1}}, false, false},
		{"target", "CONNMARK", 1, append(info(0, 0x3f00, 0x3f00), 1, 0, 0, 0),
			[]facts.MarkUse{{Connection: true, Writes: true, Bits: 0x3f00}}, false, false},
		{"target", "CONNMARK", 1, append(info(0, 0xffffffff, 0xffffffff), 2, 0, 0, 0),
			[]facts.MarkUse{{Writes: true, Bits: 0xffffffff}}, false, false},
		{"target", "CONNMARK", 1, append(info(5, 0xff, 0), 0, 0, 0, 0),
			[]facts.MarkUse{{Connection: true, Writes: true, Bits: 0xff, Constant: true, Value: 5}}, false, false},
		{"target", "CONNMARK", 2, append(info(0, 0xff, 0xff), 0, 0, 2, 0), []facts.MarkUse{{Writes: true, Bits: 0xff}}, false, false},
		{"target", "CONNMARK", 2, append(info(0, 0xff, 0xff), 0, 8, 1, 0),
			[]facts.MarkUse{{Connection: true, Writes: true, Bits: 0xffffffff}}, false, false},
		{"target", "MARK", 2, []byte{1}, nil, false, false},
		{"target", "CONNMARK", 1, info(1, 2, 3), nil, false, false},
		{"target", "MASQUERADE", 0, nil, nil, true, false},
		{"match", "mark", 0, info(1, 0xff, 0), []facts.MarkUse{{Bits: 0xff}}, false, false},
		{"match", "connmark", 0, info(1, 0xf0, 0), []facts.MarkUse{{Connection: true, Bits: 0xf0}}, false, false},
		{"match", "tcp", 0, info(1, 2, 3), nil, false, false},
		{"target", "CT", 0, []byte{1, 0, 0, 0}, nil, false, true},
		{"target", "CT", 0, []byte{0, 0, 1, 0}, nil, false, false},
		{"target", "CT", 0, []byte{1}, nil, false, false},
		{"target", "NOTRACK", 0, nil, nil, false, true},
	} {
		t.Run(fmt.Sprintf("%s %s revision %d %x", c.expr, c.name, c.revision, c.info), func(t *testing.T) {
			var w writer
			w.str(compatName, c.name)
			w.u32(compatRevision, c.revision)
			w.bytes(compatInfo, c.info)
			walk := marksWalk{}
			walk.step(&expr{name: c.expr, data: w.b})
			if !reflect.DeepEqual(walk.uses, c.want) || walk.sourceNAT != c.nat || walk.untracked != c.untracked {
				t.Errorf("%s %s %x: %+v, source NAT %v, untracked %v", c.expr, c.name, c.info, walk.uses, walk.sourceNAT, walk.untracked)
			}
		})
	}
}

// Newer kernels have and, or and xor as operations of their own.
func TestOthersNewBitwise(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		op, value uint32
		want      facts.MarkUse
	}{
		{"and", bitwiseAnd, 0xff, facts.MarkUse{Writes: true, Bits: 0xffffff00, Constant: true}},
		{"or", bitwiseOr, 0xff, facts.MarkUse{Writes: true, Bits: 0xff, Constant: true, Value: 0xff}},
		{"xor", bitwiseXor, 0xff, facts.MarkUse{Writes: true, Bits: 0xff, Value: 0xff}},
		{"shift", bitwiseRsh, 8, facts.MarkUse{Writes: true, Bits: 0xffffffff}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var e exprs
			e.metaLoad(unix.NFT_META_MARK)
			at := e.begin("bitwise")
			e.u32(unix.NFTA_BITWISE_SREG, reg1)
			e.u32(unix.NFTA_BITWISE_DREG, reg1)
			e.u32(unix.NFTA_BITWISE_LEN, 4)
			e.u32(bitwiseOp, c.op)
			e.value(bitwiseData, binary.NativeEndian.AppendUint32(nil, c.value))
			e.end(at)
			e.metaSet(unix.NFT_META_MARK)
			walk := marksWalk{}
			for _, x := range splitExprs(e.b) {
				walk.step(&x)
			}
			if !reflect.DeepEqual(walk.uses, []facts.MarkUse{c.want}) {
				t.Errorf("operation %d: %+v, want %+v", c.op, walk.uses, c.want)
			}
		})
	}
}
