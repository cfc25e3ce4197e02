"""A topic on the Pub/Sub emulator with push subscriptions to servers of a test."""

from __future__ import annotations

from contextlib import closing
from uuid import uuid4

import grpc
from google.protobuf.duration_pb2 import Duration
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import PushConfig, RetryPolicy, Subscription, Topic

PROJECT = "projects/torpor-tests"
ACK_SECONDS = 60


class PushTopic:
    """A topic of one test."""

    def __init__(self, emulator: str) -> None:
        self.emulator = emulator
        self.name = f"{PROJECT}/topics/wake-{uuid4().hex}"
        with closing(grpc.insecure_channel(self.emulator)) as channel:
            publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
            publisher.create_topic(request=Topic(name=self.name))

    def push_to(self, url: str) -> str:
        """Let every message be posted to a server; gives the subscription's name."""
        name = f"{PROJECT}/subscriptions/push-{uuid4().hex}"
        subscription = Subscription(
            name=name,
            topic=self.name,
            push_config=PushConfig(push_endpoint=f"{url}/pubsub/push"),
            ack_deadline_seconds=ACK_SECONDS,
            retry_policy=RetryPolicy(minimum_backoff=Duration(nanos=100_000_000), maximum_backoff=Duration(seconds=1)),
        )
        with closing(grpc.insecure_channel(self.emulator)) as channel:
            subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
            subscriber.create_subscription(request=subscription)
        return name

    def move_to(self, subscription: str, url: str) -> None:
        """Let a subscription post to another server."""
        with closing(grpc.insecure_channel(self.emulator)) as channel:
            subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
            subscriber.modify_push_config(
                subscription=subscription, push_config=PushConfig(push_endpoint=f"{url}/pubsub/push")
            )
