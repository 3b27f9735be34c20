package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// consulTime bounds a request to the agent, which is on this machine or near it.
const consulTime = 5 * time.Second

// consulService is what a Consul agent knows of the metrics of a mount.
type consulService struct{ agent, id string }

// registerConsul tells a Consul agent where the metrics are. The agent looks after them from then on, and forgets a mount
// that has ended without a word.
func registerConsul(ctx context.Context, agent string, metrics net.Addr, point, volume string) (*consulService, error) {
	if !strings.Contains(agent, "://") {
		agent = "http://" + agent
	}
	host, _ := os.Hostname() // "" if it has none
	at, ok := metrics.(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("metrics at %s are not on TCP", metrics)
	}
	address := at.IP.String()
	if at.IP.IsUnspecified() {
		address = host // all of the machine's, of which others reach some
	}
	s := &consulService{agent: strings.TrimRight(agent, "/"), id: address + ":" + point}
	type check struct {
		HTTP, Interval, Timeout        string
		DeregisterCriticalServiceAfter string
	}
	body, err := json.Marshal(struct {
		ID, Name, Address string
		Port              int
		Meta              map[string]string
		Check             check
	}{
		s.id, "juicefs", address, at.Port, map[string]string{"hostName": host, "mountPoint": point, "volume": volume},
		check{fmt.Sprintf("http://%s/metrics", net.JoinHostPort(address, fmt.Sprint(at.Port))), "10s", "5s", "1m"},
	})
	if err != nil {
		return nil, err
	}
	return s, s.put(ctx, "register", body)
}

// end takes the service away.
func (s *consulService) end(ctx context.Context) error {
	return s.put(ctx, "deregister/"+url.PathEscape(s.id), nil)
}

func (s *consulService) put(ctx context.Context, what string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, consulTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, s.agent+"/v1/agent/service/"+what, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("consul: %w", err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("consul: %w", err)
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10)) // only to be shown
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("consul: %s %s", answer.Status, bytes.TrimSpace(text))
	}
	return nil
}
