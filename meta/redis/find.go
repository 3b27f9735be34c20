package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
)

var (
	errNoMaster = errors.New("the Sentinel knows no master of that name: the URL is redis://MASTER,SENTINEL[,SENTINEL...][:port]/db")
	errNoSlot   = errors.New("no node of the cluster has the slot of the volume: is the cluster complete?")
)

// find asks Sentinels or nodes where the volume is, until one answers.
func (l *locator) find(ctx context.Context) (string, error) {
	l.mu.Lock()
	known := slices.Clone(l.known)
	l.mu.Unlock()
	var failed []error
	for _, seed := range known {
		addr, err := l.findAt(ctx, seed)
		if err == nil {
			return addr, nil
		}
		failed = append(failed, fmt.Errorf("%s: %w", seed, err))
		if ctx.Err() != nil {
			break
		}
	}
	return "", fmt.Errorf("find the %s: %w", l.t, errors.Join(failed...))
}

func (l *locator) findAt(ctx context.Context, seed string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askIn)
	defer cancel()
	k, err := l.call(ctx, seed)
	if err != nil {
		return "", err
	}
	defer k.conn.Close()
	return l.where(ctx, k, seed)
}

// call connects to a Sentinel, or to any node.
func (l *locator) call(ctx context.Context, seed string) (*talk, error) {
	c, err := l.t.dial(ctx, l.o, seed, asItIs)
	if err != nil {
		return nil, err
	}
	k := newTalk(c)
	cmds := authCommands(l.t.user, l.t.password)
	if l.t.form == formSentinel {
		cmds = authCommands("", l.o.SentinelPassword)
	}
	if len(cmds) == 0 {
		return k, nil
	}
	answers, err := k.ask(ctx, cmds...)
	if err == nil {
		err = failure(answers)
	}
	if err != nil {
		c.Close()
		return nil, l.explain(err)
	}
	return k, nil
}

// where asks for the server that holds the volume.
func (l *locator) where(ctx context.Context, k *talk, seed string) (string, error) {
	if l.t.form == formSentinel {
		return l.whereSentinel(ctx, k, seed)
	}
	return l.whereNode(ctx, k, seed)
}

func (l *locator) whereSentinel(ctx context.Context, k *talk, seed string) (string, error) {
	cmds := [][]string{{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", l.t.master}}
	replica := l.readsReplica()
	if replica {
		cmds = append(cmds, []string{"SENTINEL", "SLAVES", l.t.master})
	}
	answers, err := k.ask(ctx, cmds...)
	if err == nil {
		err = failure(answers[:1])
	}
	if err != nil {
		return "", l.explain(err)
	}
	master := answers[0]
	if master.kind == replyNil {
		return "", errNoMaster
	}
	if master.kind != replyList || len(master.list) != 2 {
		return "", errShape
	}
	l.turn([]string{seed})
	addr := net.JoinHostPort(master.list[0].text, master.list[1].text)
	if replica {
		var replicas []string
		for _, r := range answers[1].list {
			if a, ok := usableReplica(r); ok {
				replicas = append(replicas, a)
			}
		}
		addr = l.oneOf(replicas, addr)
	}
	return addr, nil
}

// usableReplica reads what a Sentinel tells of a replica.
func usableReplica(r reply) (addr string, ok bool) {
	fields := make(map[string]string, len(r.list)/2)
	for i := 0; i+1 < len(r.list); i += 2 {
		fields[r.list[i].text] = r.list[i+1].text
	}
	for flag := range strings.SplitSeq(fields["flags"], ",") {
		switch flag {
		case "s_down", "o_down", "disconnected":
			return "", false
		}
	}
	return net.JoinHostPort(fields["ip"], fields["port"]), fields["master-link-status"] == "ok"
}

// oneOf gives the server that is used now if it is among those, else any, else the one besides.
func (l *locator) oneOf(addrs []string, besides string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(addrs) == 0:
		return besides
	case slices.Contains(addrs, l.at):
		return l.at
	}
	return addrs[rand.IntN(len(addrs))]
}

func (l *locator) whereNode(ctx context.Context, k *talk, seed string) (string, error) {
	answers, err := k.ask(ctx, []string{"CLUSTER", "KEYSLOT", l.t.prefix()}, []string{"CLUSTER", "SLOTS"})
	if err == nil {
		err = failure(answers)
	}
	if err != nil {
		return "", l.explain(err)
	}
	owner, nodes := slotOwner(answers[1], answers[0].n, seed)
	if len(owner) == 0 {
		return "", errNoSlot
	}
	all := []string{seed}
	for _, addr := range nodes {
		if !slices.Contains(all, addr) {
			all = append(all, addr)
		}
	}
	l.turn(all)
	if l.readsReplica() {
		return l.oneOf(owner[1:], owner[0]), nil
	}
	return owner[0], nil
}

// slotOwner reads the answer to CLUSTER SLOTS: the servers of a slot, with the master first, and all masters. A node
// that does not know its own name leaves that empty; it is then that of the one who was asked.
func slotOwner(answer reply, slot int64, asked string) (owner, masters []string) {
	for _, r := range answer.list {
		if len(r.list) < 3 {
			continue
		}
		var servers []string
		for _, n := range r.list[2:] {
			if len(n.list) < 2 {
				continue
			}
			host := n.list[0].text
			if host == "" || host == "?" {
				host, _, _ = net.SplitHostPort(asked)
			}
			servers = append(servers, net.JoinHostPort(host, decimal(n.list[1].n)))
		}
		if len(servers) == 0 {
			continue
		}
		masters = append(masters, servers...)
		if r.list[0].n <= slot && slot <= r.list[1].n {
			owner = servers
		}
	}
	return owner, masters
}

// redirection reads where an error of the kind MOVED or ASK sends its reader. Without a host it means the same one.
func redirection(err error, kind, asked string) (addr string, ok bool) {
	if code(err) != kind {
		return "", false
	}
	var own serverError
	text := err.Error()
	if errors.As(err, &own) {
		text = string(own)
	}
	words := strings.Fields(text)
	if len(words) != 3 || words[0] != kind {
		return "", false
	}
	host, port, bad := splitAddress(words[2])
	if bad {
		return "", false
	}
	if host == "" || host == "?" {
		host, _, _ = net.SplitHostPort(asked)
	}
	return net.JoinHostPort(host, port), true
}

// splitAddress cuts at the last colon, because servers do not put brackets around IPv6.
func splitAddress(addr string) (host, port string, bad bool) {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 {
		return "", "", true
	}
	return strings.Trim(addr[:i], "[]"), addr[i+1:], false
}
