package installed

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// completed is what a user types before the tabulator, and the command that then runs.
var completed = []struct{ what, typed, runs string }{
	{"a command", "pbr vers", "version"},
	{"an option", "pbr diff --j", "diff --json"},
	{"an uplink's name", "pbr uplink lt", "uplink lte"},
	{"what comes after it", "pbr uplink lte qu", "uplink lte quota"},
	{"an option's value", "pbr connections --uplink lt", "connections --uplink lte"},
	{"an option's value after =", "pbr connections --uplink=lt", "connections --uplink=lte"},
	{"a value of a few", "pbr compile --format=dn", "compile --format=dnsmasq"},
	{"names of another policy", "pbr --config=/root/other.toml uplink is", "--config=/root/other.toml uplink isp9"},
	{"a file", "pbr -c /root/oth", "-c /root/other.toml"},
	{"a file after =", "pbr --config=/root/oth", "--config=/root/other.toml"},
}

// Users put these lines into files that their shell reads at its start. Debian's zsh and fish need
// nothing of pbr's there: the package has put its scripts where they look.
var shellFiles = map[string]string{
	"/root/.bashrc":                  ". /usr/share/bash-completion/bash_completion\nPS1='typehere'\n",
	"/root/.zshrc":                   "autoload -U compinit\ncompinit\nPS1=typehere\n",
	"/root/.config/fish/config.fish": "function fish_prompt\n\techo typehere\nend\nfunction fish_greeting\nend\n",
}

// writesDown is found before pbr. It completes as pbr does, and writes down what is to run.
const writesDown = `#!/bin/sh
[ "$1" != complete ] || exec /usr/sbin/pbr "$@"
echo "$*" >>/ran
`

// Each shell of Debian completes pbr's words, as users of the package type them.
func TestShellsComplete(t *testing.T) {
	needPackages(t)
	r := newRoot(t, lab.New(t).Host("router"), "trixie")
	r.putPackage("new.deb", "new.deb")
	r.run("apt-get install -y /new.deb 2>&1")
	uplink := func(name string) string {
		return "[[uplink]]\nname = \"" + name + "\"\ninterface = \"eth1\"\ngateway = \"192.0.2.1\"\n"
	}
	r.put("/etc/pbr/pbr.toml", uplink("isp1")+uplink("lte"), 0o644)
	r.put("/root/other.toml", uplink("isp9"), 0o644)
	r.put("/usr/local/sbin/pbr", writesDown, 0o755)
	for name, text := range shellFiles {
		r.put(name, text, 0o644)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			step := steps.Of(t)
			s := r.shell(t, shell)
			for _, c := range completed {
				step.Run(c.what, func(t *testing.T) { s.completes(t, c.typed, c.runs) })
			}
		})
	}
}

// shell is an interactive shell inside.
type shell struct {
	*root
	keyboard *os.File
}

func (r *root) shell(t *testing.T, name string) *shell {
	t.Helper()
	r.put("/ran", "", 0o644)
	master, slave := lab.OpenTerminal(t)
	enter := r.enter("setsid", "--ctty", "--wait", name, "-i")
	cmd := r.Command(enter[0], enter[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := r.Start(cmd); err != nil {
		t.Fatal(err)
	}
	_ = slave.Close()
	screen := &strings.Builder{}
	shows, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		b := make([]byte, 4096)
		for waiting := true; ; {
			n, err := master.Read(b)
			if err != nil {
				return
			}
			screen.Write(b[:n])
			if waiting && strings.Contains(screen.String(), "typehere") {
				waiting = false
				close(shows)
			}
		}
	}()
	t.Cleanup(func() {
		_ = master.Close() // hangs up
		_ = cmd.Wait()
		<-over
		if t.Failed() {
			t.Logf("%s showed %q", name, screen)
		}
	})
	lab.WaitFor(t, "the prompt of "+name, func() bool {
		select {
		case <-shows:
			return true
		default:
			return false
		}
	})
	return &shell{root: r, keyboard: master}
}

// completes types a line, the tabulator and return: the command runs as the user meant it.
func (s *shell) completes(t *testing.T, typed, runs string) {
	t.Helper()
	before := s.read("/ran")
	if _, err := s.keyboard.WriteString(typed + "\t\r"); err != nil {
		t.Fatal(err)
	}
	ran := ""
	lab.WaitFor(t, "the command to run", func() bool {
		ran = strings.TrimPrefix(s.read("/ran"), before)
		return strings.HasSuffix(ran, "\n")
	})
	if strings.TrimSpace(ran) != runs {
		t.Errorf("%s and the tabulator run %q, not %q", typed, ran, runs)
	}
}
