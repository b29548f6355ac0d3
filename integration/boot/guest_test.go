// Package boot boots real Debians, made of their packages, in QEMU: systemd starts pbr's units
// beside each of the usual managers of a network. `make test-boot` builds the packages and runs
// it; without them there is nothing to boot.
package boot

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pbr/integration/boot/wire"
	"pbr/integration/lab"
	"pbr/integration/vm/emulator"
)

const (
	// packagesEnv names a directory with old.deb and new.deb, two versions of the package.
	packagesEnv = "PBR_PACKAGES"
	// bootLimit is what a boot may take, emulated and beside other work. Half a minute is usual.
	bootLimit = 6 * time.Minute
	// commandLimit is what one command may take in the guest.
	commandLimit = 4 * time.Minute
	// memory of a guest, in MiB.
	memory = 1024
)

// guest is a Debian 13 that runs in QEMU, in the place of a lab's router: its interfaces are on the
// wires of the LAN and of the two providers, in this order.
type guest struct {
	t     *testing.T
	n     *lab.Net
	share string
	// answers come from the agent, boots are the boots that it says hello from.
	answers chan wire.Answer
	boots   chan string
	port    net.Conn
	asked   int
}

// macs are the addresses of the guest's interfaces: LAN, first provider, second provider.
var macs = [...]string{"52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"}

// newGuest boots a guest, with words added to its kernel's command line, and returns when its agent
// answers and its interfaces are there. The first provider gives addresses by DHCP, and resolves
// names.
func newGuest(t *testing.T, words ...string) *guest {
	t.Helper()
	if os.Getenv(packagesEnv) == "" {
		t.Skip("make test-boot builds the packages for this")
	}
	lab.NeedProgram(t, emulator.Program, "dnsmasq", "mmdebstrap")
	g := &guest{t: t, n: wires(t), share: t.TempDir(), answers: make(chan wire.Answer), boots: make(chan string, 1)}
	g.fill()
	root := debianRoot(t)
	accel, err := emulator.Best(emulator.Program)
	if err != nil {
		t.Fatal(err)
	}
	g.start(g.qemuArgs(root, accel, words))
	g.awaitBoot("the first boot")
	g.wait("udev to find the interfaces",
		fmt.Sprintf("udevadm settle && [ $(ip -br link | grep -ic ' 52:54:00:00:00:0[1-%d] ') = %[1]d ]", len(macs)))
	return g
}

// qemuArgs is the guest's machine: one disk, whose changes go with it and outlive reboots, the
// agent's port, the share, and an interface on each wire.
func (g *guest) qemuArgs(root, accel string, words []string) []string {
	words = append(append([]string{"root=/dev/vda", "rw", "console=ttyS0", "loglevel=4", "panic=-1", "oops=panic",
		"systemd.show_status=error"},
		words...), emulator.BootOptions(accel)...)
	args := append(emulator.Options(accel),
		"-nodefaults", "-no-user-config", "-display", "none", "-m", fmt.Sprint(memory),
		"-smp", "1", // emulated, a second processor was seen to hang at a reboot
		"-kernel", filepath.Join(root, "vmlinuz"), "-initrd", filepath.Join(root, "initrd.img"), "-append", strings.Join(words, " "),
		"-drive", "if=virtio,format=raw,snapshot=on,file="+filepath.Join(root, "root.img"),
		"-serial", "file:"+filepath.Join(g.share, "console"),
		"-chardev", "socket,id=agent,server=on,wait=on,path="+filepath.Join(g.share, "port"),
		"-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name="+wire.Port,
		"-device", "virtio-rng-pci",
		"-virtfs", "local,path="+g.share+",mount_tag=share,security_model=none")
	for i, mac := range macs {
		args = append(args, "-netdev", fmt.Sprintf("tap,id=net%d,ifname=tap%[1]d,script=no,downscript=no", i),
			"-device", fmt.Sprintf("virtio-net-pci,netdev=net%d,mac=%s,romfile=,addr=0x%x", i, mac, 0x10+i))
	}
	return args
}

// streamsAddress is what the first provider's resolver answers for streams.example.
const streamsAddress = "203.0.113.77"

// wires makes LAN and providers, and in the place of the router a bridge on each wire.
func wires(t *testing.T) *lab.Net {
	t.Helper()
	n := lab.Build(lab.New(t), lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "lan", 10, 10, 130)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)},
	})
	n.Router.Sysctl("net/ipv6/conf/all/disable_ipv6", "1")
	for i, iface := range []string{"lan", "wan1", "wan2"} {
		n.Router.IP("addr flush dev "+iface,
			fmt.Sprintf("link add br%d type bridge", i), fmt.Sprintf("link set br%d up", i),
			fmt.Sprintf("link set %s master br%d", iface, i),
			fmt.Sprintf("tuntap add tap%d mode tap", i), fmt.Sprintf("link set tap%d master br%[1]d up", i))
	}
	serve(t, n)
	return n
}

// serve makes the internet of the providers, and the first one's DHCP and DNS.
func serve(t *testing.T, n *lab.Net) {
	t.Helper()
	for _, isp := range n.ISPs {
		isp.ServeInternet()
	}
	isp1 := n.ISPs["isp1"]
	isp1.NFT("insert rule inet internet pre udp dport { 53, 67 } accept\n")
	dhcp := isp1.Command("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv",
		"--interface=up0", "--bind-interfaces",
		"--user=root", "--pid-file=", "--log-facility=-", "--leasefile-ro", "--dhcp-authoritative", "--no-ping",
		"--address=/streams.example/"+streamsAddress,
		"--dhcp-range=192.0.2.100,192.0.2.150,2m", "--dhcp-host="+macs[1]+",192.0.2.2", "--dhcp-option=option:router,192.0.2.1")
	if err := isp1.Start(dhcp); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dhcp.Process.Kill(); _ = dhcp.Wait() })
}

// fill puts the agent and the packages into the share.
func (g *guest) fill() {
	g.t.Helper()
	cmd := exec.Command("go", "build", "-o", filepath.Join(g.share, "agent"), "pbr/integration/boot/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		g.t.Fatalf("building the agent: %v\n%s", err, out)
	}
	for _, name := range []string{"old.deb", "new.deb"} {
		b, err := os.ReadFile(filepath.Join(os.Getenv(packagesEnv), name))
		if err == nil {
			err = os.WriteFile(filepath.Join(g.share, name), b, 0o644)
		}
		if err != nil {
			g.t.Fatal(err)
		}
	}
}

// debianRoot is a directory with the kernel and the file system that guests boot.
func debianRoot(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("sh", "../boot-root.sh")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("boot-root.sh: %v\n%s", err, &said)
	}
	return strings.TrimSpace(string(out))
}

// start starts QEMU, which ends with the test, however that ends: then there is nobody at the other
// end of the shell's input.
func (g *guest) start(args []string) {
	g.t.Helper()
	const leash = `"$@" </dev/null & pid=$!; read -r _; kill -9 $pid`
	cmd := g.n.Router.Command("sh", append([]string{"-c", leash, "sh", emulator.Program}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	leashEnd, err := cmd.StdinPipe()
	if err == nil {
		err = g.n.Router.Start(cmd)
	}
	if err != nil {
		g.t.Fatalf("starting QEMU: %v", err)
	}
	g.t.Cleanup(func() {
		if g.t.Failed() && g.port != nil {
			g.explain()
		}
		_ = leashEnd.Close()
		_ = cmd.Wait()
	})
	lab.WaitFor(g.t, "QEMU", func() bool {
		g.port, err = net.Dial("unix", filepath.Join(g.share, "port"))
		return err == nil
	})
	go g.receive()
}

func (g *guest) receive() {
	d := json.NewDecoder(g.port)
	for {
		var a wire.Answer
		if d.Decode(&a) != nil {
			return
		}
		if a.Boot != "" {
			g.boots <- a.Boot
		} else {
			g.answers <- a
		}
	}
}

func (g *guest) awaitBoot(what string) {
	g.t.Helper()
	start := time.Now()
	select {
	case <-g.boots:
		g.t.Logf("%s: the agent answers after %.0f s", what, time.Since(start).Seconds())
	case <-time.After(bootLimit):
		g.t.Fatalf("%s: the guest does not answer within %v\n%s", what, bootLimit, g.console())
	}
}

func (g *guest) console() string {
	b, _ := os.ReadFile(filepath.Join(g.share, "console"))
	return string(b[max(0, len(b)-4000):])
}

// try runs a shell command in the guest.
func (g *guest) try(command string) wire.Answer {
	g.t.Helper()
	g.asked++
	ask, err := json.Marshal(wire.Request{ID: g.asked, Command: command})
	if err != nil {
		g.t.Fatal(err)
	}
	if _, err := g.port.Write(append(ask, '\n')); err != nil {
		g.t.Fatalf("%s: %v", command, err)
	}
	limit := time.After(commandLimit)
	for {
		select {
		case a := <-g.answers:
			if a.ID == g.asked {
				return a
			}
		case <-limit:
			g.t.Fatalf("%s did not end within %v\n%s", command, commandLimit, g.console())
		}
	}
}

// run is try of what has to succeed; it returns both outputs.
func (g *guest) run(command string) string {
	g.t.Helper()
	a := g.try(command)
	if a.Code != 0 {
		g.t.Fatalf("%s: exit status %d\n%s", command, a.Code, a.Output)
	}
	return a.Output
}

// wait polls a shell command until it succeeds.
func (g *guest) wait(what, command string) {
	g.t.Helper()
	var last wire.Answer
	if !lab.Eventually(commandLimit, func() bool { last = g.try(command); return last.Code == 0 }) {
		g.t.Fatalf("waited %v in vain for %s: %s: exit status %d\n%s", commandLimit, what, command, last.Code, last.Output)
	}
}

// put writes a file.
func (g *guest) put(name, text string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.share, "put"), []byte(text), 0o644); err != nil {
		g.t.Fatal(err)
	}
	g.run(fmt.Sprintf("mkdir -p '%s' && cat /run/share/put >'%s'", filepath.Dir(name), name))
}

// reboot boots again, and returns when systemd has started all that it starts at boot.
func (g *guest) reboot() {
	g.t.Helper()
	g.run("systemctl --no-block reboot")
	g.awaitBoot("a reboot")
	start := time.Now()
	g.try("systemctl is-system-running --wait") // its status is looked at by who has enabled units
	g.t.Logf("everything has started %.0f s later: %s", time.Since(start).Seconds(),
		strings.TrimSpace(g.try("systemd-analyze blame --no-pager | head -n 5").Output))
}

// explain shows what a guest is like where a test fails.
func (g *guest) explain() {
	fmt.Fprintln(os.Stderr, g.console())
	a := g.try(`systemctl --failed --no-pager; ip -br addr; ip route; ip route show table all proto 112; ip rule; pbr status; pbr diff
		journalctl -b --no-pager -n 150`)
	fmt.Fprintln(os.Stderr, a.Output)
}
