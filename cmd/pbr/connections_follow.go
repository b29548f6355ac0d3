package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"pbr/cmd/pbr/cli"
	"pbr/kernel/conntrack"
)

// followListing is how often --follow lists all connections: the kernel sends no event for the end
// of a connection that began before anybody listened (sysctl net.netfilter.nf_conntrack_events =
// 2), and may lose events.
const followListing = 5 * time.Second

// followStale is how old policy and health may be where a connection is explained.
const followStale = time.Second

// Events of --follow.
const (
	connectionNew = "new"
	connectionEnd = "end"
)

// connectionNews is the content of one message from the kernel.
type connectionNews struct {
	began, ended []conntrack.Flow
	lost         bool
	err          error
}

// follower shows connections that begin and end.
type follower struct {
	command
	view    *connectionView
	json    bool
	running map[string]conntrack.Flow
	// read is when policy and health were read.
	read time.Time
}

func (c command) followConnections(ctx *cli.Context, v *connectionView) error {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	events, err := v.kernel.FollowFlows()
	if err != nil {
		return err
	}
	defer events.Close()
	flows, err := v.kernel.Flows()
	if err != nil {
		return err
	}
	f := &follower{command: c, view: v, json: ctx.Bool("json"), running: byKey(flows), read: time.Now()}
	news := make(chan connectionNews)
	go receive(stop, events, news)
	return f.run(stop, news)
}

// receive passes the kernel's messages on until it is stopped.
func receive(stop context.Context, events *conntrack.Follower, to chan<- connectionNews) {
	for {
		began, ended, lost, err := events.Receive()
		select {
		case to <- connectionNews{began, ended, lost, err}:
		case <-stop.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func byKey(flows []conntrack.Flow) map[string]conntrack.Flow {
	all := make(map[string]conntrack.Flow, len(flows))
	for i := range flows {
		all[flows[i].Key()] = flows[i]
	}
	return all
}

func (f *follower) run(stop context.Context, news <-chan connectionNews) error {
	tick := time.NewTicker(followListing)
	defer tick.Stop()
	for {
		var err error
		select {
		case n := <-news:
			err = f.take(n)
		case <-tick.C:
			err = f.compare()
		case <-stop.Done():
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (f *follower) take(n connectionNews) error {
	switch {
	case errors.Is(n.err, os.ErrClosed):
		return nil
	case n.err != nil:
		return n.err
	case n.lost:
		return f.compare()
	}
	for i := range n.began {
		if err := f.began(n.began[i]); err != nil {
			return err
		}
	}
	for i := range n.ended {
		if err := f.ended(n.ended[i]); err != nil {
			return err
		}
	}
	return nil
}

// compare finds, with a listing, the begins and ends that no event reported.
func (f *follower) compare() error {
	flows, err := f.view.kernel.Flows()
	if err != nil {
		return err
	}
	now := byKey(flows)
	for key, flow := range f.running {
		if _, still := now[key]; !still {
			if err := f.ended(flow); err != nil {
				return err
			}
		}
	}
	for key, flow := range now {
		if _, is := f.running[key]; !is {
			err = f.began(flow)
		}
		if f.running[key] = flow; err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) began(flow conntrack.Flow) error {
	if _, is := f.running[flow.Key()]; is {
		return nil
	}
	f.running[flow.Key()] = flow
	return f.show(connectionNew, flow)
}

func (f *follower) ended(flow conntrack.Flow) error {
	if _, is := f.running[flow.Key()]; !is {
		return nil // it began and ended between two messages, or was listed as ended
	}
	delete(f.running, flow.Key())
	return f.show(connectionEnd, flow)
}

func (f *follower) show(event string, flow conntrack.Flow) error {
	if time.Since(f.read) > followStale {
		f.read = time.Now()
		_ = f.view.refresh() // a file that is being edited: what was read before still holds
	}
	e, selected := f.view.entry(&flow)
	if !selected {
		return nil
	}
	if f.json {
		item := e.item()
		item.Event = event
		return json.NewEncoder(f.stdout).Encode(item)
	}
	_, err := fmt.Fprintf(f.stdout, "%s %s  %s\n", time.Now().Format(time.TimeOnly), event, strings.Join(e.row(), "  "))
	return err
}
