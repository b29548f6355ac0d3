package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"pbr/cmd/pbr/daemon"
	"pbr/cmd/pbr/notify"
	"pbr/compiler/message"
	"pbr/compiler/policy"
	"pbr/kernel"
)

// unsentFile has the messages that the last watch could not send.
const unsentFile = "unsent.json"

// posts are the messages to where [watch] notify says.
type posts struct {
	sender *notify.Sender
	host   string
	unsent string // a file
	log    *slog.Logger
	cancel context.CancelFunc
	ended  chan struct{}
}

func newPosts(k *kernel.Kernel, log *slog.Logger) *posts {
	host, _ := os.Hostname()
	return &posts{sender: notify.New(log), host: host, unsent: filepath.Join(k.Dir(), unsentFile), log: log, ended: make(chan struct{})}
}

// target has messages sent to where a policy says, whose file that is.
func (p *posts) target(doc *policy.Document, file string) {
	p.sender.SetTarget(doc.Watch.Notify, doc.TableNames())
	if t := secretsTrouble(&doc.Watch.Notify, file); t != nil {
		p.log.Warn("notify: "+t.text, "do", t.do)
	}
}

func (p *posts) add(e daemon.HookEvent) { p.sender.Add(e.Message(p.host)) }

// start continues with the events that the last watch left.
func (p *posts) start() {
	left, err := readUnsent(p.unsent)
	if err != nil {
		p.log.Warn("notify: events of the last run that were not posted are lost", "error", err)
	}
	for _, m := range left {
		p.sender.Add(m)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() { defer close(p.ended); p.sender.Run(ctx) }()
}

// end waits until all is sent or ctx ends, and leaves the rest for the next watch.
func (p *posts) end(ctx context.Context) {
	p.sender.Wait(ctx)
	p.cancel()
	<-p.ended
	unsent := p.sender.Unsent()
	if len(unsent) == 0 {
		return
	}
	b, err := json.Marshal(unsent)
	if err == nil {
		err = os.WriteFile(p.unsent, b, 0o600)
	}
	if err != nil {
		_ = os.Remove(p.unsent)
		p.log.Warn("notify: events that were not posted are lost", "error", err)
	}
}

// readUnsent reads what a watch left, and removes it: it is sent once.
func readUnsent(file string) (left []message.Message, err error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &left)
	}
	return left, errors.Join(err, os.Remove(file))
}

// secretsTrouble returns what is wrong with the mode of a policy file, whose target may have
// secrets. nil is nothing.
func secretsTrouble(n *policy.Notify, file string) *trouble {
	u, err := url.Parse(n.URL)
	secret := len(n.Headers) > 0 || err == nil && (u.User != nil || u.RawQuery != "" || len(u.Path) > 1)
	if n.Pos.Line == 0 || file == "" || !secret {
		return nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch mode := info.Mode().Perm(); {
	case mode&0o004 != 0, mode&0o040 != 0 && ok && st.Gid != 0:
		return &trouble{"others may read " + file + ", and its URL and headers may hold secrets", "chmod go-r " + file}
	}
	return nil
}

// checkSecrets returns a warning if others may read the policy file and it holds secrets. On
// machines without the policy's uplinks it returns none.
func checkSecrets(f *policyFile, live bool) policy.Diagnostics {
	n := &f.doc.Watch.Notify
	if !live && !hasInterfaces(f.doc) {
		return nil
	}
	t := secretsTrouble(n, f.text.Path)
	if t == nil {
		return nil
	}
	return policy.Diagnostics{{Pos: n.Pos, Severity: policy.Warning, Code: codeNotify, Key: "watch.notify",
		Hint: t.do, Message: "notify: " + t.text}}
}
