#!/bin/bash
# The peer of lb-watcher: what people write by hand. Watches the upstream keys and, for each change, lists them,
# writes nginx's configuration, checks it and reloads nginx. `watch-reload.sh ENDPOINTS PREFIX ADDRESS FOLDER`
set -u
export ETCDCTL_API=3
endpoints=$1 prefix=$2 address=$3 folder=$4

render() {
    {
        echo "daemon off; pid $folder/nginx.pid; error_log stderr; worker_processes 2;"
        echo "events {} http { access_log off; client_body_temp_path $folder/b; proxy_temp_path $folder/p;"
        echo "fastcgi_temp_path $folder/f; uwsgi_temp_path $folder/u; scgi_temp_path $folder/s; upstream app {"
        etcdctl --endpoints "$endpoints" get --prefix --print-value-only "$prefix" | sed 's/.*/server &;/'
        echo "server 127.0.0.1:9 backup; keepalive 8; } server { listen $address; location / { proxy_pass http://app;"
        echo "proxy_http_version 1.1; proxy_set_header Connection ''; } } }"
    } > "$folder/new.conf"
}

render
mv "$folder/new.conf" "$folder/nginx.conf"
nginx -c "$folder/nginx.conf" &
etcdctl --endpoints "$endpoints" watch --prefix "$prefix" | while read -r line; do
    case $line in
        PUT | DELETE)
            render
            nginx -t -q -c "$folder/new.conf" && mv "$folder/new.conf" "$folder/nginx.conf" \
                && nginx -c "$folder/nginx.conf" -s reload
            ;;
    esac
done
