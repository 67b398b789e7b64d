#!/bin/sh
# The first process of a load balancer image as people made them in 2014: the service's name and etcd's address come from the
# environment, confd makes the configuration, then follows the keys beside nginx.
set -eu
sed -i "s/SERVICE_NAME/$SERVICE_NAME/g" /etc/confd/conf.d/nginx.toml /etc/confd/templates/nginx.tmpl
until confd -onetime -node "$ETCD" -config-file /etc/confd/conf.d/nginx.toml; do
    echo 'waiting for confd to make nginx.conf'
    sleep 1
done
confd -interval 10 -node "$ETCD" -config-file /etc/confd/conf.d/nginx.toml &
exec /usr/sbin/nginx -e stderr -g 'daemon off;'
