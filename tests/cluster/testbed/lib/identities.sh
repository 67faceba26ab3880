# Who is who: certificates, and kubeconfigs that hold them.

certificate() { # NAME SUBJECT ALTNAMES
  local file=$RUN/pki/$1
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$file.key" -out "$file.csr" -subj "$2"
  openssl x509 -req -in "$file.csr" -CA "$RUN/pki/ca.crt" -CAkey "$RUN/pki/ca.key" -CAcreateserial -days 30 -out "$file.crt" \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3")
}

kubeconfig() { # NAME CERTIFICATE: self-contained, so that it can be copied
  cat >"$RUN/$1.kubeconfig" <<K
apiVersion: v1
kind: Config
clusters: [{name: valo, cluster: {server: "https://$NET.1:6443", certificate-authority-data: $(base64 -w0 "$RUN/pki/ca.crt")}}]
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 "$RUN/pki/$2.crt")
    client-key-data: $(base64 -w0 "$RUN/pki/$2.key")
contexts: [{name: valo, context: {cluster: valo, user: $1}}]
current-context: valo
K
  chmod 600 "$RUN/$1.kubeconfig"
}

write_identities() { # of the control plane
  local ca=$RUN/pki/ca names=DNS:localhost,DNS:kubernetes name
  for name in kubernetes.default kubernetes.default.svc kubernetes.default.svc.cluster.local; do names+=,DNS:$name; done
  {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$ca.key" -out "$ca.crt" -days 30 -subj /CN=valo-test
    openssl genrsa -out "$RUN/pki/sa.key" 2048
    openssl rsa -in "$RUN/pki/sa.key" -pubout -out "$RUN/pki/sa.pub"
    certificate apiserver /CN=kube-apiserver "$names,IP:127.0.0.1,IP:$NET.1,IP:10.96.0.1"
    certificate kubelet-client /O=system:masters/CN=apiserver-kubelet DNS:apiserver
    certificate front-proxy /CN=front-proxy DNS:front-proxy
    certificate admin /O=system:masters/CN=admin DNS:admin
    certificate manager /CN=system:kube-controller-manager DNS:manager
    certificate scheduler /CN=system:kube-scheduler DNS:scheduler
    certificate proxy /CN=system:kube-proxy DNS:proxy
  } 2>>"$RUN/log/openssl.log"
  for name in admin manager scheduler proxy; do kubeconfig $name $name; done
}

write_node_identity() { # I
  local node=node-$1
  certificate "$node" "/O=system:nodes/CN=system:node:$node" "DNS:$node,IP:$NET.$((10 + $1))" 2>>"$RUN/log/openssl.log"
  kubeconfig "$node" "$node"
}
