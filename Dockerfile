# The program on a CPU:
#   docker build -t omniposead . --build-arg INDEX=ADDRESS
#   docker run --rm -v "$PWD/mine:/work" omniposead anomaly_nerf_lego.py --data_dir /work --ckpt_dir /work/ckpts --obj pump
#   docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/mine:/work" omniposead serve.py --ckpt_dir /work/ckpts \
#       --store /work/results --host 0.0.0.0 --token_file /work/token
# INDEX is PyTorch's package index for CPUs; without it the image has torch's GPU libraries, too, and is far larger.
FROM python:3.13-slim
ARG INDEX
WORKDIR /app
COPY . .
RUN pip install --no-cache-dir ${INDEX:+--extra-index-url $INDEX} -r requirements.txt -e '.[serve]' \
    && python -m pipeline.warm_up
ENTRYPOINT ["python"]
CMD ["-m", "data"]
