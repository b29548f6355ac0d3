package routeros

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/from"
)

// busy is the processor time that the test has used: others may use the machine, too.
func busy(t *testing.T) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// longest is how much processor time a large export may take, on a slow machine and with the race
// detector, too: what looks at each pair of rules takes minutes.
const longest = 10 * time.Second

// Large exports of several shapes are read without looking at each pair of their rules.
func TestSpeed(t *testing.T) {
	shapes := map[string]func(b *strings.Builder){
		"60,000 list entries": func(b *strings.Builder) {
			fmt.Fprintln(b, "add action=mark-routing chain=prerouting dst-address-list=big new-routing-mark=r2 "+
				"passthrough=no\n/ip firewall address-list")
			for i := range 60_000 {
				fmt.Fprintf(b, "add address=100.%d.%d.%d comment=\"entry %d\" list=big\n", 64+i>>16, i>>8&255, i&255, i)
			}
		},
		"5,000 hosts": func(b *strings.Builder) {
			for i := range 5000 {
				fmt.Fprintf(b, "add action=mark-routing chain=prerouting new-routing-mark=r%d "+
					"passthrough=no src-address=10.1.%d.%d\n", i%2+1, i>>8, i&255)
			}
		},
		"5,000 that pass": func(b *strings.Builder) {
			for i := range 5000 {
				fmt.Fprintf(b, "add action=mark-routing chain=prerouting new-routing-mark=r%d src-address=10.1.%d.%d\n", i%2+1, i>>8, i&255)
			}
		},
		"2,500 pairs, guarded": func(b *strings.Builder) { pairs(b, " connection-mark=no-mark", " passthrough=no") },
		"2,500 pairs, open":    func(b *strings.Builder) { pairs(b, "", "") },
		"2,500 pairs by interface": func(b *strings.Builder) {
			pairs(b, "", " in-interface=lan passthrough=no")
		},
		"marks, then routes": func(b *strings.Builder) {
			for i := range 2500 {
				fmt.Fprintf(b, "add action=mark-connection chain=prerouting connection-state=new "+
					"new-connection-mark=m%d src-address=10.1.%d.%d\n", i, i>>8, i&255)
			}
			for i := range 2500 {
				fmt.Fprintf(b, "add action=mark-routing chain=prerouting connection-mark=m%d "+
					"new-routing-mark=r%d passthrough=no\n", i, i%2+1)
			}
		},
		"a chain for each": func(b *strings.Builder) {
			for i := range 2500 {
				fmt.Fprintf(b, "add action=jump chain=prerouting jump-target=c%d src-address=10.1.%d.0/24\n", i, i&255)
				fmt.Fprintf(b, "add action=mark-routing chain=c%d new-routing-mark=r2 passthrough=no "+
					"src-address=10.1.%d.%d\n", i, i&255, i>>8)
			}
		},
	}
	for name, write := range shapes {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			b.WriteString(head)
			write(&b)
			var r *from.Result
			took := time.Hour
			for try := 0; try < 3 && took > longest; try++ {
				start := busy(t)
				r = importText(t, b.String(), nil)
				took = min(took, busy(t)-start)
			}
			if t.Log(took); took > longest {
				t.Errorf("took %v", took)
			}
			if n := strings.Count(r.Policy, "[[policy]]"); n < 1 || name[:2] == "5," && n < 5000 {
				t.Errorf("%d policies", n)
			}
		})
	}
}

func pairs(b *strings.Builder, guard, route string) {
	for i := range 2500 {
		fmt.Fprintf(b, "add action=mark-connection chain=prerouting connection-state=new "+
			"new-connection-mark=m%d src-address=10.1.%d.%d%s\n", i, i>>8, i&255, guard)
		fmt.Fprintf(b, "add action=mark-routing chain=prerouting connection-mark=m%d new-routing-mark=r%d%s\n", i, i%2+1, route)
	}
}
