// Package healthcheck tells which uplinks work: it sends probes, counts rounds of them, and says
// when an uplink's state changes.
//
// It has three layers. A machine turns what happened to one uplink in one IP version (a round of
// probes, a change of its link, an order from the administrator) into a state; it is pure, and is
// given the time. A Monitor runs one worker for each uplink and collects the machines' events. A
// Prober sends one probe; SocketProber is the real one.
//
// The package changes nothing: what follows from an event is its reader's business.
package healthcheck
