package redact

import "regexp"

// addressPattern is what URL is for, within other text. Quotes and blanks end it.
const addressPattern = `[A-Za-z][A-Za-z0-9+.-]*://[^\s"'` + "`" + `<>]+`

// secretPattern is a name that sounds like that of a secret, with its value: in JSON, YAML, flags, and the environment.
const secretPattern = `(?i)((?:access|secret|session|encrypt|private)[-_ ]?(?:key|token)|password|passwd|passphrase)(["']?\s*[:= ]\s*["']?)([^\s"',}&]+)`

// Masker hides secrets in text of any kind, such as logs. It is safe for use by many at a time.
type Masker struct{ addresses, secrets *regexp.Regexp }

// NewMasker makes a Masker.
func NewMasker() *Masker {
	return &Masker{regexp.MustCompile(addressPattern), regexp.MustCompile(secretPattern)}
}

// Text masks the passwords of all addresses, and the values of all that is named like a secret. When in doubt it hides
// too much.
func (m *Masker) Text(text []byte) []byte {
	text = m.addresses.ReplaceAllFunc(text, func(a []byte) []byte { return []byte(URL(string(a))) })
	return m.secrets.ReplaceAll(text, []byte("${1}${2}"+mask))
}
